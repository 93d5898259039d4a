import sys
from pathlib import Path

# the random networks that the passes are tested with
sys.path.append(str(Path(__file__).resolve().parents[2] / "passes"))

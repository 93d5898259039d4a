/* What the C and the assembly of the firmware share. The plugin knows the markers by MARK_START and MARK_STOP. */
#ifndef FIRMWARE_H
#define FIRMWARE_H

#define PAINT 0xa5c396e1
#define EXIT_FAULT 99

#define GLUE_(a, b) a##b
#define GLUE(a, b) GLUE_(a, b)
#define RUN GLUE(MODEL, _run)

#endif

/* SPDX-License-Identifier: 0BSD */
/* Names of the kernels. In a generated folder this file gives each the prefix of its model, so that several models link
 * into one firmware, whichever version of eennc made them. */

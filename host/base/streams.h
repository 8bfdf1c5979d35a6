/* The three standard streams of a program. */
#ifndef NASRUN_BASE_STREAMS_H
#define NASRUN_BASE_STREAMS_H

#include "host/base/error.h"

#include <stdbool.h>

/* To be called before a program opens anything: whichever of the descriptors 0 to 2 is closed gets /dev/null, so that
 * no file that is opened later can take its place and be written to by those who mean a standard stream. False, with a
 * line on stderr where there is one, when /dev/null can't be opened: the program is not to go on. */
bool streams_secure(const char *program);

/* Whether all that was printed has gone out: ST_IO otherwise. */
enum status streams_flush_output(struct error *err);

#endif

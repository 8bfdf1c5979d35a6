/* What the tools that write pictures have in common. */
#ifndef NASRUN_TOOLS_PICTURES_H
#define NASRUN_TOOLS_PICTURES_H

#include <stdint.h>

/* A line on stderr about a character that no font here has; nothing for 0. */
void pictures_tell_missing(const char *program, uint32_t character);

#endif

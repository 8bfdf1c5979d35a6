#include "tools/common/pictures.h"

#include "host/report/fonts.h"

#include <stdio.h>

void pictures_tell_missing(const char *program, uint32_t character)
{
    if (character != 0)
        fprintf(
            stderr,
            "%s: no font here has the character U+%04X: it is drawn as a box; Debian's package %s has it\n",
            program, (unsigned)character, fonts_package(character));
}

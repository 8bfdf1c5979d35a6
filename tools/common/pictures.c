#include "tools/common/pictures.h"

#include "host/report/fonts.h"

#include <string.h>

enum status pictures_read_format(const char *word, enum plot_format *format, struct error *err)
{
    static const char *const words[] = {
        [PLOT_PNG] = "png", [PLOT_SVG] = "svg", [PLOT_PDF] = "pdf", [PLOT_CSV] = "csv"};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (strcmp(word, words[i]) == 0) {
            *format = (enum plot_format)i;
            return ST_OK;
        }
    return error_set(err, ST_RANGE, "--format: found \"%.40s\", expected png, svg, pdf or csv", word);
}

void pictures_tell_missing(const char *program, uint32_t character)
{
    if (character != 0)
        fprintf(
            stderr,
            "%s: no font here has the character U+%04X: it is drawn as a box; Debian's package %s has it\n",
            program, (unsigned)character, fonts_package(character));
}

#include "tools/common/arguments.h"

#include <stdio.h>
#include <string.h>

bool arguments_fit(int count, char *const *arguments, int least, int most, const char *usage, int *status)
{
    bool help = count == 2 && strcmp(arguments[1], "--help") == 0;
    if (!help && count > least && count <= most + 1 && arguments[1][0] != '-')
        return true;
    fputs(usage, help ? stdout : stderr);
    *status = help ? 0 : 2;
    return false;
}

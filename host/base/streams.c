#include "host/base/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum status streams_flush_output(struct error *err)
{
    return fflush(stdout) == 0 && !ferror(stdout)
               ? ST_OK
               : error_set(err, ST_IO, "standard output: cannot be written");
}

bool streams_secure(const char *program)
{
    for (int descriptor = 0; descriptor <= 2; descriptor++) {
        if (fcntl(descriptor, F_GETFD) != -1 || errno != EBADF)
            continue;
        if (open("/dev/null", O_RDWR) != descriptor) { /* the lowest that is free, as all below are taken */
            fprintf(stderr, "%s: /dev/null: %s\n", program, strerror(errno));
            return false;
        }
    }
    return true;
}

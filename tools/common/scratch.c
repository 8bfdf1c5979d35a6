#include "tools/common/scratch.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REMOVE_FOLDERS = 8 }; /* open at a time */

enum status scratch_open(const char *program, char **folder, struct error *err)
{
    const char *variable = getenv("TMPDIR");
    const char *place = variable != NULL && variable[0] != '\0' ? variable : "/tmp";
    const size_t room = strlen(place) + strlen(program) + sizeof("/-XXXXXX");
    *folder = malloc(room);
    if (*folder == NULL)
        return error_memory(err, "path", room);
    snprintf(*folder, room, "%s/%s-XXXXXX", place, program);
    if (mkdtemp(*folder) != NULL)
        return ST_OK;
    enum status st = error_system(err, errno, "%s", *folder);
    free(*folder);
    *folder = NULL;
    return st;
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    (void)about;
    (void)kind;
    (void)place;
    (void)remove(path);
    return 0;
}

void scratch_close(char *folder)
{
    if (folder != NULL)
        (void)nftw(folder, remove_one, REMOVE_FOLDERS, FTW_DEPTH | FTW_PHYS);
    free(folder);
}

/* Files of many records, raw or gzip; zlib reads both, so their readers need not know which it is. */
#include "host/data/data_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PACK_BUFFER = 1 << 18 };
/* One stretch of a file in a single call of gzread, whose lengths are unsigned int and whose results int. */
enum { PACK_STRETCH = 1 << 30 };
/* The densest that deflate packs: 258 bytes in two bits. */
enum { DEFLATE_BEST = 1032 };

enum status data_pack_open(struct data_pack *pack, const char *path, struct error *err)
{
    enum status st = ST_OK;
    struct stat about;

    *pack = (struct data_pack){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_system(err, errno, "%s", path);
    if (fstat(fd, &about) != 0) {
        st = error_system(err, errno, "%s", path);
        goto out;
    }
    if (!S_ISREG(about.st_mode)) {
        st = error_set(err, ST_FORMAT, "%s: is no regular file, expected one", path);
        goto out;
    }
    pack->bytes = about.st_size;
    pack->path = strdup(path);
    pack->stream = pack->path != NULL ? gzdopen(fd, "rb") : NULL;
    if (pack->stream == NULL) {
        st = error_memory(err, path, PACK_BUFFER);
        goto out;
    }
    fd = -1; /* the stream's now */
    gzbuffer(pack->stream, PACK_BUFFER);
    pack->packed = !gzdirect(pack->stream);
out:
    if (fd >= 0)
        close(fd);
    if (st != ST_OK)
        data_pack_close(pack);
    return st;
}

/* The message for a stream that gave `found` bytes of `what` where `length` were wanted. */
static enum status explain(struct data_pack *pack, const char *what, size_t found, size_t length,
                           struct error *err)
{
    int number = Z_OK;
    const char *text = gzerror(pack->stream, &number); /* "<fd:3>: what is wrong" */
    const char *location_end = strstr(text, ">: ");
    if (number == Z_ERRNO || number == Z_MEM_ERROR)
        return error_system(err, number == Z_ERRNO ? errno : ENOMEM, "%s", pack->path);
    if (number == Z_BUF_ERROR)
        return error_set(err, ST_FORMAT, "%s: the gzip stream is cut after %zu bytes of %s, expected %zu",
                         pack->path, found, what, length);
    if (number != Z_OK && number != Z_STREAM_END)
        return error_set(err, ST_FORMAT, "%s: broken gzip data after %zu bytes of %s: %s", pack->path, found,
                         what, location_end != NULL ? location_end + 3 : text);
    return error_set(err, ST_FORMAT, "%s: the file ends after %zu bytes of %s, expected %zu", pack->path,
                     found, what, length);
}

enum status data_pack_read(struct data_pack *pack, void *to, size_t length, const char *what,
                           struct error *err)
{
    size_t done = 0;
    while (done < length) {
        size_t stretch = length - done < PACK_STRETCH ? length - done : PACK_STRETCH;
        int got = gzread(pack->stream, (char *)to + done, (unsigned)stretch);
        if (got > 0)
            done += (size_t)got;
        if (got < (int)stretch)
            return explain(pack, what, done, length, err);
    }
    return ST_OK;
}

enum status data_pack_more(struct data_pack *pack, bool *more, struct error *err)
{
    int number = Z_OK;
    int next = gzgetc(pack->stream);
    *more = next >= 0;
    if (next >= 0) {
        gzungetc(next, pack->stream);
        return ST_OK;
    }
    gzerror(pack->stream, &number); /* only at the end does gzip compare its checksum */
    if (number != Z_OK && number != Z_STREAM_END)
        return explain(pack, "what should be the end", 0, 1, err);
    return ST_OK;
}

enum status data_pack_end(struct data_pack *pack, struct error *err)
{
    bool more = false;
    enum status st = data_pack_more(pack, &more, err);
    if (st != ST_OK || !more)
        return st;
    long long at = (long long)gztell(pack->stream);
    if (pack->packed)
        return error_set(err, ST_FORMAT,
                         "%s: more data behind the last record at byte %lld, expected its end", pack->path,
                         at);
    return error_set(err, ST_FORMAT, "%s: %lld bytes, expected %lld", pack->path, (long long)pack->bytes, at);
}

int64_t data_pack_capacity(const struct data_pack *pack)
{
    return pack->packed ? pack->bytes * DEFLATE_BEST : pack->bytes;
}

void data_pack_close(struct data_pack *pack)
{
    if (pack->stream != NULL)
        gzclose_r(pack->stream);
    free(pack->path);
    *pack = (struct data_pack){0};
}

#include "tests/support/fuzz_runs.h"

#include "host/base/file.h"
#include "host/data/dataset.h"
#include "host/journal/journal.h"
#include "host/run/engine.h"
#include "host/run/options.h"
#include "host/run/resume.h"
#include "tests/support/data_files.h"
#include "tests/support/tiny_job.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* cmocka.h needs the headers above. */
#include <cmocka.h>

/* ---- a run that is gone on with ---- */

/* What a run has left: two candidates and a final fit, of which the last has not ended. Made once, for all inputs. */
struct left_run {
    struct tiny_job tiny;
    char *journal;
    size_t length;
    bool made;
};

static void close_left_run(void);
static struct left_run *left_run(void)
{
    static struct left_run left;
    struct error err;
    if (left.made)
        return &left;
    left.made = true;
    tiny_job_open(&left.tiny, NULL);
    tiny_job_run(&left.tiny);
    char *path = file_join(left.tiny.run, JOURNAL_NAME);
    assert_non_null(path);
    assert_int_equal(file_read(path, &left.journal, &left.length, &err), ST_OK);
    free(path);
    /* Up to the epochs of the last training. */
    const char *at = left.journal, *end = NULL;
    while ((at = strstr(at, "\"event\":\"model\"")) != NULL)
        end = at++;
    assert_non_null(end);
    while (end > left.journal && end[-1] != '\n')
        end--;
    left.length = (size_t)(end - left.journal);
    /* The reference is opened in no time. */
    tiny_job_change(&left.tiny, (const char *const[]){"devices=\"ref\"", NULL});
    atexit(close_left_run);
    return &left;
}

static void close_left_run(void)
{
    struct left_run *left = left_run();
    tiny_job_close(&left->tiny);
    free(left->journal);
}

void fuzz_make_resume(const char *folder)
{
    const struct left_run *left = left_run();
    data_files_write(folder, "input", left->journal, left->length, false);
}

void fuzz_make_restarts(const char *folder)
{
    data_files_write_text(
        folder, "input", "2 signal 9 (Killed)\n1 an error of the device\n2 signal 11 (Segmentation fault)\n");
}

/* `name` of the run is what stands in the file at `path`. */
static enum status go_on(const char *name, const char *path, struct error *err)
{
    struct left_run *left = left_run();
    struct run run;
    char *text, *to = file_join(left->tiny.run, name);
    size_t length;
    assert_non_null(to);
    assert_int_equal(file_read(path, &text, &length, err), ST_OK);
    data_files_write(left->tiny.run, JOURNAL_NAME, left->journal, left->length, false);
    remove(to);
    data_files_write(left->tiny.run, name, text, length, false);
    free(text);
    free(to);
    enum status st = run_open(&run, &left->tiny.job, left->tiny.run, -2, &left->tiny.history, err);
    if (st == ST_OK) /* a journal with a damaged first line is nobody's */
        st = resume_run(&run, err);
    run_close(&run);
    return st;
}

enum status fuzz_read_resume(const char *folder, const char *path, struct error *err)
{
    (void)folder;
    return go_on(JOURNAL_NAME, path, err);
}

enum status fuzz_read_restarts(const char *folder, const char *path, struct error *err)
{
    (void)folder;
    return go_on("restarts.txt", path, err);
}

/* ---- data ---- */

static enum status load_folder(const char *images, char *cache, struct error *err)
{
    struct job_dataset job = data_files_job(images);
    struct dataset set;
    job.format = JOB_FORMAT_FOLDER;
    job.on_error = JOB_ON_ERROR_SKIP;
    job.cache = cache;
    enum status st = data_load(&job, 1, &(struct data_way){.threads = 1}, &set, err);
    data_free(&set);
    return st;
}

/* The one file in the folder, its path malloc'd. */
static char *only_file(const char *folder)
{
    char *path = NULL;
    DIR *stream = opendir(folder);
    assert_non_null(stream);
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;)
        if (entry->d_name[0] != '.' && path == NULL)
            path = file_join(folder, entry->d_name);
    closedir(stream);
    assert_non_null(path);
    return path;
}

void fuzz_make_cache(const char *folder)
{
    struct error err;
    char name[32], *images = file_join(folder, "images"), *cache = file_join(folder, "cache"), *bytes;
    size_t length;
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "images/%c/%d.png", "ab"[i % 2], i);
        data_files_png_plain(folder, name, 3, 2, (uint8_t)(9 * i), 20, 30);
    }
    if (load_folder(images, cache, &err) != ST_OK)
        fail_msg("%s", err.message);
    char *made = only_file(cache);
    assert_int_equal(file_read(made, &bytes, &length, &err), ST_OK);
    data_files_write(folder, "input", bytes, length, false);
    free(bytes);
    free(made);
    free(images);
    free(cache);
}

/* The damaged file takes the place of the cache; when it is passed over a good one is written there. */
enum status fuzz_read_cache(const char *folder, const char *path, struct error *err)
{
    char *images = file_join(folder, "images"), *cache = file_join(folder, "cache"), *made = only_file(cache);
    remove(made);
    assert_int_equal(link(path, made), 0);
    const enum status st = load_folder(images, cache, err);
    free(images);
    free(cache);
    free(made);
    return st;
}

/* As host/data/cache.c lays it out: version, count, hashes of the list and of the pixels behind it, and of the head. */
void fuzz_repair_cache(struct fuzz_bytes *file)
{
    enum { VERSION = 8, COUNT = 16, KEPT_HASH = 48, PIXEL_HASH = 56, HEAD_HASH = 320, HEAD = 328 };
    uint32_t version;
    int32_t count;
    if (file->length < HEAD)
        return;
    memcpy(&version, file->bytes + VERSION, sizeof(version));
    memcpy(&count, file->bytes + COUNT, sizeof(count));
    const size_t room = file->length - HEAD,
                 listed = count >= 0 && (size_t)count < room / 4 ? 4 * (size_t)count : room;
    const uint64_t kept = file_hash(0, file->bytes + HEAD, listed),
                   pixels = file_hash(0, file->bytes + HEAD + listed, room - listed);
    memcpy(file->bytes + KEPT_HASH, &kept, sizeof(kept));
    memcpy(file->bytes + PIXEL_HASH, &pixels, sizeof(pixels));
    const uint64_t head = file_hash(version, file->bytes, HEAD_HASH);
    memcpy(file->bytes + HEAD_HASH, &head, sizeof(head));
}

void fuzz_make_tree(const char *folder)
{
    data_files_png_plain(folder, "image", 3, 2, 10, 20, 30);
    data_files_write_text(
        folder, "input",
        "d train\nd train/cat\ni train/cat/1.png\ni train/cat/2.jpg\ni train/dog/1.png\ni train/dog/2.PNG\n"
        "t train/dog/notes.txt\nl train/dog/3.png ../cat/1.png\nd test\ni test/cat/4.png\ni test/dog/5.png\n"
        "p test/dog/6.png\nl test/more ../train\nt .DS_Store\n");
}

/* Within the folder, and no longer than names may be. */
static bool is_inside(const char *name)
{
    return name[0] != '\0' && name[0] != '/' && strstr(name, "..") == NULL && strlen(name) < 200;
}

/* One line; what can't be made is passed over: a name that is taken, a part that is no folder. */
static void make_entry(const char *tree, const char *image, char *line)
{
    char kind = line[0], *name = line[0] != '\0' && line[1] == ' ' ? line + 2 : "",
         *target = strchr(name, ' ');
    if (target != NULL && kind == 'l')
        *target++ = '\0';
    char *path = file_join(tree, name);
    struct error ignored;
    assert_non_null(path);
    if (!is_inside(name))
        goto out;
    char *slash = strrchr(path, '/');
    *slash = '\0';
    file_make_folder(path, &ignored);
    *slash = '/';
    if (kind == 'd')
        file_make_folder(path, &ignored);
    if (kind == 'i' && link(image, path) != 0)
        goto out;
    if (kind == 't')
        close(creat(path, 0666));
    if (kind == 'p' && mkfifo(path, 0666) != 0)
        goto out;
    /* Up as far as the tree's own folder: the test's are no data. */
    if (kind == 'l' && target != NULL &&
        (is_inside(target) ||
         (strncmp(target, "../", 3) == 0 && is_inside(target + 3) && strchr(name, '/') != NULL)))
        (void)!symlink(target, path);
out:
    free(path);
}

enum status fuzz_read_tree(const char *folder, const char *path, struct error *err)
{
    enum { MOST_LINES = 40 };
    char *tree = data_files_folder(), *image = file_join(folder, "image"), *text, *rest;
    size_t length;
    assert_int_equal(file_read(path, &text, &length, err), ST_OK);
    rest = text;
    for (int i = 0; rest != NULL && i < MOST_LINES; i++)
        make_entry(tree, image, strsep(&rest, "\n"));
    const enum status st = load_folder(tree, NULL, err);
    data_files_remove(tree);
    free(image);
    free(text);
    return st;
}

/* ---- the command line ---- */

void fuzz_make_command(const char *folder)
{
    data_files_write_text(folder, "input", "-v\n--fresh\njob.cfg\ntrain.batch=32\nseed=1");
}

enum status fuzz_read_command(const char *folder, const char *path, struct error *err)
{
    enum { MOST_WORDS = 32 };
    struct options options;
    char name[] = "nasrun", *words[MOST_WORDS + 2] = {name}, *text, *rest;
    size_t length;
    int count = 1;
    (void)folder;
    assert_int_equal(file_read(path, &text, &length, err), ST_OK);
    for (rest = text; rest != NULL && count <= MOST_WORDS;)
        words[count++] = strsep(&rest, "\n");
    const enum status st = options_parse(count, words, &options, err);
    free(text);
    return st;
}

/* Choices on disk, one file each: FOLDER/HASH.plan, HASH being that of the key; and FOLDER/turns, an empty file of
 * which who is choosing locks the byte of his key.
 *
 *     nasrun plan 2 KEYBYTES PLANBYTES CHECKSUM\n     in decimal, the checksum as 16 hexadecimal digits
 *     key                                             everything that the choice depends on, compared byte for byte
 *     plan                                            cuDNN's JSON
 *
 * A plan may hold compiled code, and cuDNN accepts a plan whose code was altered. So the file is believed
 * only when it is ours alone (owner, mode 0600, no link) and its checksum over key and plan is right. */
#include "cuda/conv/conv_internal.h"
#include "host/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FILE = 64 << 20, HEAD_SIZE = 96 };

/* How long to wait for another's choice: longer than any takes, for its process may be stopped. */
enum { PATIENCE_SECONDS = 60, GLANCE_NANOSECONDS = 2000000 };

/* The key, malloc'd; NULL when out of memory. The device's description names its driver too, but neither its place in
 * the machine nor its number: equal devices share their choices. */
static char *make_key(const struct conv_planner *planner, const struct conv_plan_info *info)
{
    const struct conv_geometry *g = &info->geometry;
    const struct conv_options *o = &planner->options;
    char *key = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&key, &size);
    if (out == NULL)
        return NULL;
    fprintf(out, "cudnn %zu\n%s, type %d\n", cudnnGetVersion(), conv_kind_name(info->kind), (int)info->type);
    fprintf(out, "x %d %d %d %d rows %d depth %d kernel %d %d stride %d pad %d %d groups %d\n", g->n, g->h,
            g->w, g->c, g->rows, g->depth, g->kernel_h, g->kernel_w, g->stride, g->pad_h, g->pad_w,
            g->groups);
    fprintf(out, "deterministic %d tensor float %d workspace %zu timed %d\n%s\n", o->deterministic,
            o->tensor_float, o->workspace_limit, o->timed, planner->description);
    bool bad = ferror(out) != 0;
    if (fclose(out) != 0 || bad) {
        free(key);
        return NULL;
    }
    return key;
}

/* malloc'd; NULL when out of memory. */
static char *make_path(const struct conv_planner *planner, const char *key)
{
    char name[32];
    snprintf(name, sizeof(name), "%016" PRIx64 ".plan", file_hash(0, key, strlen(key)));
    return file_join(planner->cache_folder, name);
}

/* The whole of a file that is ours alone, malloc'd, with a NUL behind it; NULL otherwise. */
static char *read_private(const char *path, size_t *length)
{
    struct stat about;
    char *data = NULL;
    size_t filled = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0)
        return NULL;
    if (fstat(file, &about) == 0 && S_ISREG(about.st_mode) && about.st_uid == geteuid() &&
        (about.st_mode & 077) == 0 && about.st_size > 0 && about.st_size < MAX_FILE)
        data = malloc((size_t)about.st_size + 1);
    while (data != NULL && filled < (size_t)about.st_size) {
        ssize_t got = read(file, data + filled, (size_t)about.st_size - filled);
        if (got > 0) {
            filled += (size_t)got;
        } else if (got == 0 || errno != EINTR) {
            free(data);
            data = NULL;
        }
    }
    close(file);
    if (data != NULL)
        data[filled] = '\0';
    *length = filled;
    return data;
}

/* The plan's text within `data`, NULL when anything is wrong. */
static const char *find_plan(const char *data, size_t length, const char *key, size_t *plan_length)
{
    size_t key_length;
    uint64_t checksum;
    int head = 0;
    if (sscanf(data, "nasrun plan 2 %zu %zu %16" SCNx64 "%n", &key_length, plan_length, &checksum, &head) !=
            3 ||
        head <= 0 || data[head] != '\n')
        return NULL;
    size_t start = (size_t)head + 1;
    if (key_length != strlen(key) || *plan_length == 0 || *plan_length > MAX_FILE ||
        length != start + key_length + *plan_length || memcmp(data + start, key, key_length) != 0 ||
        file_hash(0, data + start, key_length + *plan_length) != checksum)
        return NULL;
    return data + start + key_length;
}

/* cuDNN's plan of its JSON; NULL when it refuses, for instance because its version or the driver is another.
 */
static cudnnBackendDescriptor_t load(const struct conv_planner *planner, const char *json, size_t length)
{
    cudnnBackendDescriptor_t plan = NULL;
    if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan) != CUDNN_STATUS_SUCCESS)
        return NULL;
    cudnnStatus_t status = cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                                                    CUDNN_TYPE_CHAR, (int64_t)length, json);
    if (status == CUDNN_STATUS_SUCCESS)
        status = planner->handle != NULL
                     ? cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1,
                                                &planner->handle)
                     : cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
                                                CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &planner->device);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendFinalize(plan);
    if (status == CUDNN_STATUS_SUCCESS)
        return plan;
    conv_discard(plan);
    return NULL;
}

/* In front of cuDNN's JSON: what is known only when choosing. */
static const char notes_format[] =
    "engine %" PRId64 " tensor core %d deterministic %d compiled %d seconds %la\n";
static const char notes_read[] =
    "engine %" SCNd64 " tensor core %d deterministic %d compiled %d seconds %la%n";

bool conv_cache_read(const struct conv_planner *planner, struct conv_plan *plan)
{
    char *key = NULL, *path = NULL, *data = NULL;
    size_t length, plan_length;
    int64_t engine, count, workspace = 0;
    int tensor_core, deterministic, compiled, notes = 0;
    double seconds;
    bool found = false;

    if (planner->cache_folder == NULL)
        return false;
    key = make_key(planner, &plan->info);
    path = key != NULL ? make_path(planner, key) : NULL;
    data = path != NULL ? read_private(path, &length) : NULL;
    const char *text = data != NULL ? find_plan(data, length, key, &plan_length) : NULL;
    if (text == NULL ||
        sscanf(text, notes_read, &engine, &tensor_core, &deterministic, &compiled, &seconds, &notes) != 5 ||
        notes <= 0 || text[notes] != '\n')
        goto out;
    cudnnBackendDescriptor_t loaded = load(planner, text + notes + 1, plan_length - (size_t)notes - 1);
    if (loaded == NULL)
        goto out;
    if (cudnnBackendGetAttribute(loaded, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
                                 &count, &workspace) != CUDNN_STATUS_SUCCESS) {
        conv_discard(loaded);
        goto out;
    }
    plan->plan = loaded;
    plan->workspace = workspace > 0 ? (size_t)workspace : 0;
    plan->info.engine = engine;
    plan->info.tensor_core = tensor_core != 0;
    plan->info.deterministic = deterministic != 0;
    plan->info.compiled = compiled != 0;
    plan->info.cached = true;
    plan->info.rank = -1;
    plan->info.seconds = seconds;
    found = true;
out:
    free(data);
    free(path);
    free(key);
    return found;
}

/* Aside, private from the start, then renamed: other processes and threads see all of it or nothing. */
static void write_private(const char *path, const char *head, const char *body, size_t length)
{
    char aside[64];
    snprintf(aside, sizeof(aside), ".%ld", (long)gettid());
    size_t size = strlen(path) + strlen(aside) + 1;
    char *name = malloc(size);
    if (name == NULL)
        return;
    snprintf(name, size, "%s%s", path, aside);
    unlink(name); /* of a thread of that number that died here */
    int file = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    FILE *out = file >= 0 ? fdopen(file, "wb") : NULL;
    if (out != NULL) {
        fputs(head, out);
        fwrite(body, 1, length, out);
        bool bad = ferror(out) != 0;
        bad |= fclose(out) != 0;
        if (bad || rename(name, path) != 0)
            unlink(name);
    } else if (file >= 0) {
        close(file);
        unlink(name);
    }
    free(name);
}

void conv_cache_write(const struct conv_planner *planner, const struct conv_plan *plan)
{
    char *key = NULL, *path = NULL, *json = NULL, *body = NULL, head[HEAD_SIZE];
    size_t body_length = 0;
    int64_t json_size = 0, got = 0;

    if (planner->cache_folder == NULL)
        return;
    key = make_key(planner, &plan->info);
    path = key != NULL ? make_path(planner, key) : NULL;
    if (path == NULL ||
        cudnnBackendGetAttribute(plan->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                                 0, &json_size, NULL) != CUDNN_STATUS_SUCCESS ||
        json_size <= 0 || json_size >= MAX_FILE)
        goto out;
    json = malloc((size_t)json_size);
    if (json == NULL ||
        cudnnBackendGetAttribute(plan->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                                 json_size, &got, json) != CUDNN_STATUS_SUCCESS)
        goto out;
    FILE *out = open_memstream(&body, &body_length);
    if (out == NULL)
        goto out;
    fputs(key, out);
    fprintf(out, notes_format, plan->info.engine, plan->info.tensor_core, plan->info.deterministic,
            plan->info.compiled, plan->info.seconds);
    fwrite(json, 1, (size_t)(got < json_size ? got : json_size), out);
    bool bad = ferror(out) != 0;
    if (fclose(out) != 0 || bad)
        goto out;
    size_t key_length = strlen(key);
    snprintf(head, sizeof(head), "nasrun plan 2 %zu %zu %016" PRIx64 "\n", key_length,
             body_length - key_length, file_hash(0, body, body_length));
    write_private(path, head, body, body_length);
out:
    free(body);
    free(json);
    free(path);
    free(key);
}

/* ---- turns ---- */

/* The lock is the open file's, not the process's: it keeps threads apart as well as processes, and ends with either. */
int conv_cache_begin(const struct conv_planner *planner, const struct conv_plan_info *info)
{
    char *key = planner->cache_folder != NULL ? make_key(planner, info) : NULL;
    char *path = key != NULL ? file_join(planner->cache_folder, "turns") : NULL;
    int file = path != NULL ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    struct flock turn = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    if (file >= 0)
        turn.l_start = (off_t)(file_hash(0, key, strlen(key)) >> 2);
    const int64_t glances = (int64_t)PATIENCE_SECONDS * 1000000000 / GLANCE_NANOSECONDS;
    bool taken = false, over = file < 0;
    for (int64_t i = 0; !taken && !over && i < glances; i++) {
        taken = fcntl(file, F_OFD_SETLK, &turn) == 0;
        over = !taken && errno != EAGAIN && errno != EACCES && errno != EINTR;
        if (!taken && !over)
            nanosleep(&(struct timespec){.tv_nsec = GLANCE_NANOSECONDS}, NULL);
    }
    if (!taken && file >= 0) {
        close(file);
        file = -1;
    }
    free(path);
    free(key);
    return file;
}

void conv_cache_end(int turn)
{
    if (turn >= 0)
        close(turn);
}

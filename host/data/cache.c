/* The cache of decoded datasets: one file for each dataset and each way to decode it, named by a hash of all
 * that its content depends on (paths, sizes and times of the files, labels, settings). A file that is cut,
 * changed or from another version is passed over and written anew. */
#include "host/base/file.h"
#include "host/data/data_internal.h"

#include <stdlib.h>
#include <string.h>

/* Raise it when decoding or resizing gives other pixels than before, or hashes are others. */
enum { CACHE_VERSION = 3 };
static const char cache_magic[8] = "NASDATA";

/* The head of the file, in the machine's byte order (another order does not match the version). Behind it:
 * kept (count x int32), then pixels. */
struct cache_head {
    char magic[8];
    uint32_t version;
    int32_t listed; /* images in the list, kept or not */
    int32_t count, channels, height, width, resized;
    uint64_t key;
    uint64_t kept_hash, pixel_hash;
    char policy[256];
    uint64_t head_hash; /* of all fields above */
};

uint64_t data_cache_key(const struct job_dataset *job, const struct data_list *list)
{
    double settings[5] = {job->resize.count, 0, 0, job->max_side, job->max_pixels};
    for (int i = 0; i < 2 && i < job->resize.count; i++)
        settings[1 + i] = job->resize.items[i];
    uint64_t hash = file_hash(CACHE_VERSION, settings, sizeof(settings));
    hash = file_hash(hash, job_fit_text(job->fit), strlen(job_fit_text(job->fit)));
    hash = file_hash(hash, job_channels_text(job->channels), strlen(job_channels_text(job->channels)));
    hash = file_hash(hash, job_on_error_text(job->on_error), strlen(job_on_error_text(job->on_error)));
    for (int32_t i = 0; i < list->count; i++) {
        const struct data_item *item = &list->items[i];
        int64_t facts[4] = {item->size, item->modified, item->label, item->split};
        hash = file_hash(hash, facts, sizeof(facts));
        hash = file_hash(hash, item->path, strlen(item->path));
    }
    return hash;
}

/* The cache file's path, malloc'd; NULL when out of memory. */
static char *cache_path(const struct job_dataset *job, uint64_t key)
{
    char name[40];
    snprintf(name, sizeof(name), "%016llx.nasdata", (unsigned long long)key);
    return file_join(job->cache, name);
}

static uint64_t hash_head(const struct cache_head *head)
{
    return file_hash(CACHE_VERSION, head, offsetof(struct cache_head, head_hash));
}

/* Whether the head is whole, of this dataset, and promises what the file has room for. */
static bool head_fits(const struct cache_head *head, const struct data_list *list, uint64_t key, int64_t size)
{
    if (memcmp(head->magic, cache_magic, sizeof(cache_magic)) != 0 || head->version != CACHE_VERSION ||
        head->key != key || head->head_hash != hash_head(head))
        return false;
    if (head->listed != list->count || head->count < 1 || head->count > list->count ||
        (head->channels != 1 && head->channels != 3) || head->height < 1 || head->height > IMAGE_MAX_SIDE ||
        head->width < 1 || head->width > IMAGE_MAX_SIDE || head->policy[sizeof(head->policy) - 1] != '\0')
        return false;
    int64_t image = (int64_t)head->channels * head->height * head->width;
    return size == (int64_t)sizeof(*head) + head->count * ((int64_t)sizeof(int32_t) + image);
}

/* Indices into the list must rise, or they are none. */
static bool kept_fits(const struct cache_head *head, const int32_t *kept)
{
    if (file_hash(0, kept, (size_t)head->count * sizeof(*kept)) != head->kept_hash)
        return false;
    for (int32_t i = 0; i < head->count; i++)
        if (kept[i] < (i > 0 ? kept[i - 1] + 1 : 0) || kept[i] >= head->listed)
            return false;
    return true;
}

enum status data_cache_load(const struct job_dataset *job, const struct data_list *list, uint64_t key,
                            struct dataset *set, int32_t **kept, bool *found, struct error *err)
{
    enum status st = ST_OK;
    struct cache_head head;
    FILE *stream = NULL;
    int64_t size = 0;
    uint8_t *pixels = NULL;
    int32_t *indices = NULL;

    *found = false;
    char *path = cache_path(job, key);
    if (path == NULL)
        return error_memory(err, job->cache, strlen(job->cache));
    struct error closed; /* a cache that can't be read is one that is not there */
    if (file_open(path, &stream, &size, &closed) != ST_OK)
        goto out;
    setvbuf(stream, NULL, _IONBF, 0); /* three large reads, straight to where they belong */
    if (fread(&head, sizeof(head), 1, stream) != 1 || !head_fits(&head, list, key, size))
        goto out;
    size_t count = (size_t)head.count;
    size_t bytes = count * (size_t)head.channels * (size_t)head.height * (size_t)head.width;
    indices = malloc(count * sizeof(*indices));
    pixels = malloc(bytes);
    if (indices == NULL || pixels == NULL) {
        st = error_memory(err, "pixels", bytes);
        goto out;
    }
    if (fread(indices, sizeof(*indices), count, stream) != count || !kept_fits(&head, indices) ||
        fread(pixels, 1, bytes, stream) != bytes || file_hash(0, pixels, bytes) != head.pixel_hash)
        goto out;
    set->count = head.count;
    set->channels = head.channels;
    set->height = head.height;
    set->width = head.width;
    set->skipped =
        list->skipped + head.listed - head.count; /* the list's own, and those that did not decode */
    set->resized = head.resized;
    memcpy(set->policy, head.policy, sizeof(set->policy));
    set->pixels = pixels;
    set->from_cache = true;
    *kept = indices;
    *found = true;
    pixels = NULL;
    indices = NULL;
out:
    if (stream != NULL)
        fclose(stream);
    free(pixels);
    free(indices);
    free(path);
    return st;
}

enum status data_cache_store(const struct job_dataset *job, const struct data_list *list, uint64_t key,
                             const struct dataset *set, const int32_t *kept, struct error *err)
{
    struct file_aside file = {0};
    size_t count = (size_t)set->count;
    size_t bytes = count * data_image_bytes(set);
    struct cache_head head;

    enum status st = file_make_folder(job->cache, err);
    if (st != ST_OK)
        return st;
    char *path = cache_path(job, key);
    if (path == NULL)
        return error_memory(err, job->cache, strlen(job->cache));
    st = file_aside_open(&file, path, err);
    if (st != ST_OK)
        goto out;
    memset(&head, 0, sizeof(head)); /* its padding is hashed and written too */
    memcpy(head.magic, cache_magic, sizeof(head.magic));
    head.version = CACHE_VERSION;
    head.listed = list->count;
    head.count = set->count;
    head.channels = set->channels;
    head.height = set->height;
    head.width = set->width;
    head.resized = set->resized;
    head.key = key;
    head.kept_hash = file_hash(0, kept, count * sizeof(*kept));
    head.pixel_hash = file_hash(0, set->pixels, bytes);
    memcpy(head.policy, set->policy, sizeof(head.policy));
    head.head_hash = hash_head(&head);
    fwrite(&head, sizeof(head), 1, file.stream); /* short writes are found by the commit */
    fwrite(kept, sizeof(*kept), count, file.stream);
    fwrite(set->pixels, 1, bytes, file.stream);
    st = file_aside_commit(&file, err);
out:
    free(path);
    return st;
}

/* Checkpoints: a header, the weight slots as floats, and a checksum of both. */
#include "host/base/file.h"
#include "host/train/trainer_internal.h"

#include <stdlib.h>
#include <string.h>

static const char MAGIC[8] = "nasrunC1";

struct checkpoint_header {
    char magic[8];
    uint64_t note;
    uint64_t weights; /* floats in a slot */
    uint64_t slots;
    struct trainer_state state;
};

static size_t slot_count(const struct trainer *trainer)
{
    return trainer->settings.optimizer.kind == OPTIMIZER_ADAMW ? SLOT_SECOND + 1 : SLOT_FIRST + 1;
}

enum status trainer_checkpoint(struct trainer *trainer, const char *path, uint64_t note, struct error *err)
{
    const struct device_ops *ops = trainer->place.ops;
    const size_t floats = trainer_weights(trainer)->total, slots = slot_count(trainer);
    const size_t bytes = sizeof(struct checkpoint_header) + slots * floats * sizeof(float) + sizeof(uint32_t);
    struct checkpoint_header header = {.note = note, .weights = floats, .slots = slots};
    char *data = calloc(1, bytes);
    if (data == NULL)
        return error_memory(err, "checkpoint", bytes);

    enum status st =
        ops->program_metrics(trainer->place.device, trainer->training, trainer->state.metrics, err);
    header.state = trainer->state;
    memcpy(header.magic, MAGIC, sizeof(MAGIC));
    memcpy(data, &header, sizeof(header));
    for (size_t slot = 0; st == ST_OK && slot < slots; slot++)
        st = ops->weights_download(trainer->place.device, trainer->weights, (enum weight_slot)slot,
                                   (float *)(void *)(data + sizeof(header)) + slot * floats, err);
    if (st == ST_OK) {
        uint32_t checksum = file_checksum(data, bytes - sizeof(checksum));
        memcpy(data + bytes - sizeof(checksum), &checksum, sizeof(checksum));
        st = file_write_atomic(path, data, bytes, err);
    }
    free(data);
    return st;
}

/* The whole file, its header apart; *data is the caller's to free on ST_OK. */
static enum status read_checked(const char *path, char **data, size_t *bytes,
                                struct checkpoint_header *header, struct error *err)
{
    uint32_t checksum;
    enum status st = file_read(path, data, bytes, err);
    if (st != ST_OK)
        return st;
    if (*bytes >= sizeof(*header) + sizeof(checksum)) {
        memcpy(header, *data, sizeof(*header));
        memcpy(&checksum, *data + *bytes - sizeof(checksum), sizeof(checksum));
        if (memcmp(header->magic, MAGIC, sizeof(MAGIC)) == 0 &&
            checksum == file_checksum(*data, *bytes - sizeof(checksum)))
            return ST_OK;
    }
    free(*data);
    *data = NULL;
    return error_set(err, ST_FORMAT, "%s: damaged: length, magic or checksum are wrong", path);
}

enum status checkpoint_note(const char *path, uint64_t *note, struct error *err)
{
    struct checkpoint_header header;
    char *data;
    size_t bytes;
    enum status st = read_checked(path, &data, &bytes, &header, err);
    if (st != ST_OK)
        return st;
    *note = header.note;
    free(data);
    return ST_OK;
}

enum status trainer_restore(struct trainer *trainer, const char *path, uint64_t *note, struct error *err)
{
    const struct device_ops *ops = trainer->place.ops;
    const size_t floats = trainer_weights(trainer)->total, slots = slot_count(trainer);
    const size_t expected =
        sizeof(struct checkpoint_header) + slots * floats * sizeof(float) + sizeof(uint32_t);
    struct checkpoint_header header;
    char *data;
    size_t bytes;

    enum status st = read_checked(path, &data, &bytes, &header, err);
    if (st != ST_OK)
        return st;
    if (bytes != expected) {
        st = error_set(err, ST_FORMAT, "%s: found %zu bytes, expected %zu for this network", path, bytes,
                       expected);
        goto out;
    }
    for (size_t slot = 0; st == ST_OK && slot < slots; slot++)
        st = ops->weights_upload(trainer->place.device, trainer->weights, (enum weight_slot)slot,
                                 (const float *)(const void *)(data + sizeof(header)) + slot * floats, err);
    trainer->state = header.state;
    *note = header.note;
out:
    free(data);
    return st;
}

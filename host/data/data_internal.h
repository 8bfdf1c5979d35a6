/* What the files of this room share. Nothing outside host/data includes it.
 *
 * Two ways lead to a dataset. The packed formats (idx.c, cifar.c) hold images of one size and fill pixels at
 * once. The formats of single files (folder.c, csv.c) first make a list of what there is; decode.c turns the
 * list into pixels, or cache.c remembers what decode.c made of the same list before. Both then pass through
 * split.c and measure.c.
 */
#ifndef NASRUN_DATA_DATA_INTERNAL_H
#define NASRUN_DATA_DATA_INTERNAL_H

#include "host/base/error.h"
#include "host/data/dataset.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <zlib.h>

/* A dataset in the making: what the readers know beside the dataset itself. Zero it, data_build_free ends it.
 */
struct data_build {
    struct dataset set;
    /* set.count, enum data_split: the split that the files give each image; training by default */
    uint8_t *given;
    bool numbered;      /* classes are bare numbers, so one without images is no mistake */
    const char *source; /* what messages call the data: the job's path */
};
void data_build_free(struct data_build *build);
/* Allocates set.class_names with the names "0", "1", ... for set.classes classes. */
enum status data_number_classes(struct dataset *set, struct error *err);

/* ---- pack.c: files of many records, raw or gzip ---- */

struct data_pack {
    char *path;
    gzFile stream;
    int64_t bytes; /* on disk */
    bool packed;   /* gzip */
};
enum status data_pack_open(struct data_pack *pack, const char *path, struct error *err);
/* Reads exactly `length` bytes; `what` names them in messages ("pixels"). */
enum status data_pack_read(struct data_pack *pack, void *to, size_t length, const char *what,
                           struct error *err);
/* True in *more if at least one byte is left; what gzip promises of its end is checked when none is. */
enum status data_pack_more(struct data_pack *pack, bool *more, struct error *err);
/* ST_FORMAT unless the file ends here. */
enum status data_pack_end(struct data_pack *pack, struct error *err);
/* The most bytes that the file may hold unpacked: its own size, or what deflate can reach at best. */
int64_t data_pack_capacity(const struct data_pack *pack);
void data_pack_close(struct data_pack *pack); /* a zeroed one is allowed */

/* ---- idx.c, cifar.c ---- */

enum status data_read_idx(const struct job_dataset *job, struct data_build *build, struct error *err);
/* `classes`: 10 or 100; the latter's files hold a coarse label too, which is not used. */
enum status data_read_cifar(const struct job_dataset *job, int32_t classes, struct data_build *build,
                            struct error *err);

/* ---- list.c: the list of single image files ---- */

struct data_item {
    char *path;
    int64_t size, modified; /* bytes; nanoseconds since 1970 */
    int32_t label;          /* until data_list_finish: the class in order of appearance */
    /* Of a list with any number of labels an image: which of the list's are its own, instead of `label`. */
    int32_t first_label, label_count;
    int32_t line;  /* in the CSV file, from 1; 0: from a folder */
    uint8_t split; /* enum data_split */
};

struct data_class {
    char *name;
    int32_t id; /* in order of appearance */
};

struct data_passed { /* files or folders that are none of the data's, by what their names end with or are */
    char *name;
    int32_t count;
};

struct data_list {
    const char *source; /* the folder or CSV file, for messages */
    struct data_item *items;
    int32_t count, capacity;
    struct data_class *classes; /* sorted by name */
    int32_t class_count, class_capacity;
    bool several;    /* images have any number of labels */
    int32_t *labels; /* of all items, one behind the other; classes as in struct data_item */
    int32_t label_count, label_capacity;
    bool skip;       /* on_error = "skip" */
    bool unlabelled; /* of images that stand for themselves: what is wrong with one is told by who reads it */
    int32_t skipped; /* files left out */
    const struct data_way *way; /* whom to ask and to tell while it is read */
    struct data_passed *passed;
    int32_t passed_count, passed_capacity;
    int32_t foreign; /* class names that were no UTF-8 */
};

/* Before a folder, a row or an image is read: ST_INTERRUPTED when the reading is to end; otherwise it goes on, which is
 * told to whom it concerns. */
enum status data_list_goes_on(const struct data_list *list, struct error *err);
/* The id of the class `name`, added if it is new. A name that is no UTF-8 is taken for Windows' code page 1252. */
enum status data_list_class(struct data_list *list, const char *name, int32_t *id, struct error *err);
/* Adds a file; `item->path` belongs to the list afterwards, also on error. */
enum status data_list_add(struct data_list *list, struct data_item *item, struct error *err);
/* Puts the images' labels into the order of class names. Call once, after the last item. */
enum status data_list_finish(struct data_list *list, struct error *err);
/* What becomes of a file that can't be used, for the reason in err: under "skip" it is logged and counted,
 * and ST_OK returned; otherwise, and when the machine is at fault (memory, descriptors, its disks), err stands. */
enum status data_list_problem(struct data_list *list, struct error *err);
/* Why a file of the data can't be opened: ST_FORMAT where the file is at fault (it is not there, may not be read),
 * ST_IO or ST_MEMORY where the machine is. */
enum status data_file_error(struct error *err, int number, const char *path);
/* Where file_join(folder, name) was NULL. */
enum status data_no_path(const char *folder, const char *name, struct error *err);
/* Counts what is passed over; `name` is what it is counted by. */
enum status data_list_pass(struct data_list *list, const char *name, struct error *err);
/* A line for the user, "warning: ..."; without a log none. */
void data_list_say(const struct data_list *list, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Tells what was passed over, and what of the class names is odd. After data_list_finish. */
enum status data_list_tell(const struct data_list *list, struct error *err);
void data_list_free(struct data_list *list);

/* ---- label_sets.c: any number of labels an image ---- */

enum { DATA_LABEL_MARK = '|' }; /* what stands between labels where they are written as one text */

/* ST_FORMAT for a name with the mark in it; `line` is where it stands. */
enum status data_list_check_label(const struct data_list *list, int32_t line, const char *name,
                                  struct error *err);
/* Gives the item, whose first_label is list->label_count at first, that label too, if
 * data_list_check_label allows it. No other item gets labels in between. */
enum status data_list_label(struct data_list *list, struct data_item *item, const char *name,
                            struct error *err);
/* Turns labels from order of appearance into the order of names, rank[class_count], and sorts those of each item. */
void data_list_rank_labels(struct data_list *list, const int32_t *rank);
/* Under "skip": classes without training images among the `count` that were kept are left out of all items;
 * *classes_left come first from here on. */
enum status data_list_drop_labels(struct data_list *list, const int32_t *kept, int32_t count,
                                  int32_t *classes_left, struct error *err);
/* Fills set->labels, for which there is room, and set->label_sets from the set->count images that were kept. Sets are
 * numbered in the order of their labels, whatever the order of the images. */
enum status data_list_sets(const struct data_list *list, const int32_t *kept, struct dataset *set,
                           struct error *err);

/* How many labels the dataset's images may have: its classes, or its sets. */
int32_t data_label_count(const struct dataset *set);
/* From the images of each label, of_label[data_label_count], those that have each class: [set->classes], malloc'd; NULL
 * when out of memory. */
int32_t *data_classes_of_labels(const struct dataset *set, const int32_t *of_label, struct error *err);

/* The split that a word names, in any case: train, training, val, valid, validation, dev, eval, test and more, also
 * with "set", "_set", "_data", "_images" behind it and "seg_" before it. -1: none. */
int data_split_of_word(const char *word);
/* Images of kinds that can be read, by their file names; *other is true for those that can't. */
bool data_is_image_name(const char *name, bool *other);

/* ---- names.c: class names ---- */

/* Their order: whole numbers by value, then all else by bytes. */
int data_compare_names(const char *a, const char *b);
/* The name as UTF-8, malloc'd; NULL when out of memory. *foreign: it was none. */
char *data_name_utf8(const char *name, bool *foreign);
/* What two names have in common that look alike, malloc'd; NULL when out of memory: without differences of case,
 * Unicode form and blanks. */
char *data_name_folded(const char *name);

/* ---- rows.c: lists as text ---- */

struct data_rows {
    const char *path;
    char *text, *at, *end; /* `at`: the next byte to read */
    char separator;
    int32_t line, next_line; /* of the row just read, from 1 */
    char **fields;           /* inside text, which the reading changes */
    int32_t field_count, field_capacity;
};
enum status data_rows_open(struct data_rows *rows, const char *path, struct error *err);
/* The next row that is not blank; *more is false behind the last. */
enum status data_rows_next(struct data_rows *rows, bool *more, struct error *err);
void data_rows_close(struct data_rows *rows); /* also after data_rows_open has failed */

enum status data_list_folder(const struct job_dataset *job, struct data_list *list, struct error *err);
enum status data_list_csv(const struct job_dataset *job, struct data_list *list, struct error *err);

/* ---- image.c, image_png.c, image_jpeg.c: one image file ---- */

enum { IMAGE_MAX_SIDE = 65535 }; /* pixels, JPEG's own limit; checked before anything is allocated */

struct image_info {
    int32_t height, width;
    bool grey, alpha, deep, palette; /* deep: 16 bits a channel */
    int orientation; /* EXIF's, 1 to 8; height and width are those of the turned image. 0: none told */
};

struct image {
    int32_t height, width, channels; /* channels: 1 or 3 */
    uint8_t *pixels;                 /* height x width x channels */
};

/* Size and kind from the file's head. */
enum status image_probe(const char *path, struct image_info *info, struct error *err);
/* ST_FORMAT for more than `most` pixels. */
enum status image_check_pixels(const char *path, const struct image_info *info, int32_t most,
                               struct error *err);
/* Whether the file starts like an image that can be read. */
bool image_is_one(const char *path);
/* Decodes to `channels` 1 or 3. `shrink` 1, 2, 4 or 8: the size may be divided by up to that much where the
 * format does so cheaply (JPEG, from its frequencies; sizes round up). The image is turned as EXIF says. `stop` (may be
 * NULL) is asked now and then; once it says true the answer is ST_INTERRUPTED. The caller frees image->pixels. */
enum status image_decode(const char *path, int32_t channels, int32_t shrink, bool (*stop)(void),
                         struct image *image, struct error *err);
/* ST_FORMAT unless each side is 1 to IMAGE_MAX_SIDE. */
enum status image_check_size(int64_t height, int64_t width, struct error *err);

/* ST_INTERRUPTED at each IMAGE_STOP_ROWS'th row, when `stop` says so. */
enum { IMAGE_STOP_ROWS = 64 };
enum status image_check_stop(bool (*stop)(void), int64_t row, struct error *err);

/* What EXIF data tell, 1 to 8; 1 where they tell nothing. */
int image_orientation(const uint8_t *exif, size_t length);
enum status image_turn(struct image *image, int orientation, struct error *err);

/* The two formats: `stream` stands at the file's start and stays the caller's. With image NULL only the head
 * is read. Images come as the file has them, 1 or 3 channels of 8 bits, alpha composited on white. Messages
 * lack the path. */
enum status image_png_read(FILE *stream, bool (*stop)(void), struct image_info *info, struct image *image,
                           struct error *err);
enum status image_jpeg_read(FILE *stream, int32_t shrink, bool (*stop)(void), struct image_info *info,
                            struct image *image, struct error *err);

/* GIF: the first frame; TIFF: the first image; BMP: uncompressed. */
enum status image_gif_read(FILE *stream, bool (*stop)(void), struct image_info *info, struct image *image,
                           struct error *err);
enum status image_webp_read(FILE *stream, bool (*stop)(void), struct image_info *info, struct image *image,
                            struct error *err);
enum status image_tiff_read(FILE *stream, bool (*stop)(void), struct image_info *info, struct image *image,
                            struct error *err);
enum status image_bmp_read(FILE *stream, bool (*stop)(void), struct image_info *info, struct image *image,
                           struct error *err);

/* For those whose libraries want the file as a whole: its first `most` bytes, malloc'd. */
enum { IMAGE_HEAD_BYTES = 1 << 16, IMAGE_FILE_BYTES = 1 << 29 };
enum status image_read_bytes(FILE *stream, size_t most, uint8_t **bytes, size_t *length, struct error *err);
/* The image of those pixels, RGB or RGBA, composited on white; `multiplied`: colours have been by alpha already. */
enum status image_take(struct image *image, int32_t height, int32_t width, int channels, bool multiplied,
                       const uint8_t *pixels, struct error *err);

/* ---- resize.c ---- */

enum status data_fit_parse(const char *text, enum job_fit *fit, struct error *err);

struct
    resize_taps { /* for each pixel along one output axis: the input pixels it draws from and their weights */
    int32_t *first, *count; /* `outputs` */
    float *weights;         /* outputs x most */
    int32_t most;
    size_t output_capacity, weight_capacity;
};
struct resize_work { /* reused from image to image, one for each thread; zeroed at first */
    struct resize_taps rows, columns;
    float *row;
    size_t row_capacity;
};
struct resize_order {
    const uint8_t *from; /* height x width x channels */
    int32_t channels, height, width;
    enum job_fit fit;
    int32_t to_height, to_width;
};
/* Resizes into `to` (channels planes of to_height x to_width) with a triangle filter, widened when shrinking so that
 * every pixel counts. Equal sizes copy exactly. */
enum status data_resize(struct resize_work *work, const struct resize_order *order, uint8_t *to,
                        struct error *err);
/* Decodes a file of at most DATA_MAX_PIXELS for that order, of which fit, to_height and to_width count, opened once. */
enum status image_decode_for(const char *path, int32_t channels, const struct resize_order *resize,
                             struct image *image, struct error *err);
/* How much of an image may be shrunk while decoding before it is resized: 1, 2, 4 or 8, leaving at least
 * twice the resolution wanted. */
int32_t data_resize_shrink(int32_t height, int32_t width, enum job_fit fit, int32_t to_height,
                           int32_t to_width);
void data_resize_free(struct resize_work *work);

/* ---- decode.c ---- */

/* The size that all images get: the job's, or the median of `heights` and of `widths` (which it sorts),
 * capped. */
void data_choose_size(const struct job_dataset *job, int32_t *heights, int32_t *widths, int32_t count,
                      int32_t *height, int32_t *width);
/* Decodes all of the list into build->set and build->given. *kept (caller frees): the indices into the list of
 * the set.count images that came out. */
enum status data_decode(const struct job_dataset *job, struct data_list *list, int32_t threads,
                        struct data_build *build, int32_t **kept, struct error *err);
/* Gives images of a packed format the job's size and channels. */
enum status data_conform(const struct job_dataset *job, int32_t threads, struct dataset *set,
                         struct error *err);

/* ---- cache.c ---- */

/* Names what decoding the list under the job's settings depends on. */
uint64_t data_cache_key(const struct job_dataset *job, const struct data_list *list);
/* Fills pixels, sizes, policy, counts and *kept as data_decode would, if the cache has them whole; else
 * *found is false and nothing is changed. Only shortage of memory is an error. */
enum status data_cache_load(const struct job_dataset *job, const struct data_list *list, uint64_t key,
                            struct dataset *set, int32_t **kept, bool *found, struct error *err);
enum status data_cache_store(const struct job_dataset *job, const struct data_list *list, uint64_t key,
                             const struct dataset *set, const int32_t *kept, struct error *err);

/* ---- split.c, measure.c ---- */

/* Fills set.samples: what the files give, and held-out shares for what they don't. Test first, validation
 * from the rest. ST_FORMAT for a single class, for a class without training images. */
enum status data_split(const struct job_dataset *job, int64_t seed, struct data_build *build,
                       struct error *err);
/* Fills mean and deviation; exact whole-number sums, so the same for any number of threads. */
void data_measure(struct dataset *set, int32_t threads);
void data_measure_patches(struct dataset *set); /* behind that */
/* Sets both fingerprints of a dataset that is whole but for them. */
void data_fingerprint(struct dataset *set);
/* Makes set->hashes. */
enum status data_hash_images(struct dataset *set, int32_t threads, struct error *err);

/* ---- tell.c ---- */

/* Warnings about the dataset, which is whole, to the way's log, a line each: classes of few images or without
 * test images, images in several splits or under several labels, images that show nothing. dataset.audit = "stop":
 * ST_FORMAT when there are any. */
enum status data_tell(const struct data_build *build, enum job_audit audit, const struct data_way *way,
                      struct error *err);

/* ---- twins.c ---- */

/* Of those: images in several splits or under several labels, exactly and nearly the same. */
enum status data_tell_twins(const struct dataset *set, int32_t threads, FILE *log, struct error *err);

/* Threads to use for a request of `threads`, 0: all. */
int data_threads(int32_t threads);

#endif

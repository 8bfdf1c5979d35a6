#include "tools/common/errors.h"

#include "host/base/file.h"
#include "host/report/predictions.h"
#include "host/report/sheet.h"
#include "tools/common/job_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Values that are compared to find the most similar training images; more would take minutes, and they are left out. */
static const double MOST_COMPARED = 2e11;

struct errors {
    struct dataset data;
    struct predictions predictions;
    char **told, **shown; /* names of the predictions' labels and of the data's */
    int32_t images;       /* of the test, which come first in both */
    bool has_nearest;
};

/* ---- data and answers ---- */

static enum status read_all(const char *run_folder, struct errors *errors, struct error *err)
{
    char *answers = predictions_path(run_folder, -1);
    enum status st = answers != NULL ? predictions_read(answers, &errors->predictions, err)
                                     : error_memory(err, run_folder, strlen(run_folder));
    free(answers);
    return st == ST_OK ? job_data_load_run(run_folder, &errors->data, err) : st;
}

/* How many classes there are, or sets of them. */
static int32_t labels_of(const struct predictions *names)
{
    return names->label_sets != NULL ? names->label_set_count : names->classes;
}

/* The labels' names, those of a set joined; malloc'd like each of them. */
static enum status name_labels(const struct predictions *names, char ***texts, struct error *err)
{
    const int32_t count = labels_of(names);
    bool made = (*texts = calloc((size_t)count + 1, sizeof(**texts))) != NULL;
    for (int32_t k = 0; made && k < count; k++)
        made = ((*texts)[k] = predictions_label_text(names, k)) != NULL;
    return made ? ST_OK : error_memory(err, "names of labels", (size_t)count * sizeof(**texts));
}

static void free_names(char **texts, int32_t count)
{
    for (int32_t k = 0; texts != NULL && k < count; k++)
        free(texts[k]);
    free(texts);
}

/* The data's labels, as predictions have them. */
static struct predictions labels_of_data(const struct dataset *data)
{
    return (struct predictions){.classes = data->classes,
                                .class_names = data->class_names,
                                .label_sets = data->label_sets,
                                .label_set_count = data->label_set_count};
}

static int32_t test_image(const struct errors *errors, int32_t row)
{
    return errors->data.samples[SPLIT_TEST][row];
}

static enum status check(const char *run_folder, struct errors *errors, struct error *err)
{
    const struct dataset *data = &errors->data;
    const struct predictions *predictions = &errors->predictions;
    bool same = data->classes == predictions->classes &&
                (data->label_sets != NULL) == (predictions->label_sets != NULL);
    errors->images = predictions_tests(predictions);
    same = same && errors->images == data->sample_count[SPLIT_TEST];
    for (int32_t i = 0; same && i < errors->images; i++)
        same = data->hashes[test_image(errors, i)] == predictions->rows[i].hash;
    if (!same)
        return error_set(err, ST_FORMAT, "%s: the data are not those that predictions.csv tells of",
                         run_folder);
    const double compared = (double)data->classes * SHEET_ROWS * SHEET_IMAGES *
                            data->sample_count[SPLIT_TRAIN] * (double)data_image_bytes(data);
    errors->has_nearest = data->sample_count[SPLIT_TRAIN] > 0 && compared <= MOST_COMPARED;
    return ST_OK;
}

/* ---- a class's images ---- */

/* Whether a label of the predictions is the class, or has it. */
static bool has(const struct errors *errors, int32_t label, int32_t class)
{
    return labels_have(errors->predictions.label_sets, errors->predictions.classes, label, class);
}

/* A label without any class has no name. */
static const char *name_of(const char *name)
{
    return name[0] != '\0' ? name : "no label";
}

struct found {
    int32_t row;
    float probability;
};

static int compare_found(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    return x->probability != y->probability ? (x->probability < y->probability ? 1 : -1) : x->row - y->row;
}

static uint32_t distance_of_part(const uint8_t *a, const uint8_t *b, size_t count)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (uint32_t)abs(a[i] - b[i]);
    return sum;
}

/* How far apart two images are, or some number above `most`. */
static uint32_t distance(const uint8_t *a, const uint8_t *b, size_t count, uint32_t most)
{
    enum { PART = 1024 };
    uint32_t sum = 0;
    for (size_t first = 0; first < count && sum <= most; first += PART)
        sum += distance_of_part(a + first, b + first, count - first < PART ? count - first : PART);
    return sum;
}

/* The training image with the least mean difference of its values. */
static int32_t find_nearest(const struct dataset *data, const uint8_t *pixels)
{
    const size_t bytes = data_image_bytes(data);
    int32_t nearest = data->samples[SPLIT_TRAIN][0];
    uint32_t least = UINT32_MAX;
    for (int32_t i = 0; i < data->sample_count[SPLIT_TRAIN]; i++) {
        const int32_t image = data->samples[SPLIT_TRAIN][i];
        const uint32_t found = distance(pixels, data->pixels + bytes * (size_t)image, bytes, least);
        if (found < least) {
            least = found;
            nearest = image;
        }
    }
    return nearest;
}

static struct sheet_image show(const struct errors *errors, int32_t class, const struct found *found)
{
    const struct dataset *data = &errors->data;
    const struct predicted_image *row = &errors->predictions.rows[found->row];
    const size_t bytes = data_image_bytes(data);
    const bool is_missed = has(errors, row->truth, class) && !has(errors, row->predicted, class);
    struct sheet_image image = {.pixels = data->pixels + bytes * (size_t)test_image(errors, found->row),
                                .name = row->image,
                                .probability = (double)found->probability,
                                .other = name_of(errors->told[is_missed ? row->predicted : row->truth])};
    if (errors->has_nearest) {
        const int32_t nearest = find_nearest(data, image.pixels);
        image.nearest = data->pixels + bytes * (size_t)nearest;
        image.nearest_class = name_of(errors->shown[data->labels[nearest]]);
    }
    return image;
}

/* Of those that the class was said of the surest, of the missed the least sure; `found` has room for all images. */
static void fill_row(const struct errors *errors, int32_t class, enum sheet_row row, struct found *found,
                     struct sheet *sheet)
{
    const struct predictions *predictions = &errors->predictions;
    int32_t count = 0;
    for (int32_t i = 0; i < errors->images; i++) {
        const bool is_one = has(errors, predictions->rows[i].truth, class),
                   said = has(errors, predictions->rows[i].predicted, class);
        if (row == SHEET_RIGHT ? is_one && said : row == SHEET_FALSE ? !is_one && said : is_one && !said)
            found[count++] = (struct found){
                i, predictions->probabilities[(size_t)i * (size_t)predictions->classes + (size_t) class]};
    }
    qsort(found, (size_t)count, sizeof(*found), compare_found);
    sheet->totals[row] = count;
    sheet->counts[row] = count < SHEET_IMAGES ? count : SHEET_IMAGES;
    for (int32_t i = 0; i < sheet->counts[row]; i++)
        sheet->images[row][i] = show(errors, class, &found[row == SHEET_MISSED ? count - 1 - i : i]);
}

static enum status write_sheet(const struct errors *errors, int32_t class, struct found *found,
                               struct plot_request *request, struct error *err)
{
    const struct dataset *data = &errors->data;
    struct sheet sheet = {.class_name = data->class_names[class],
                          .channels = data->channels,
                          .height = data->height,
                          .width = data->width,
                          .has_nearest = errors->has_nearest};
    for (int row = 0; row < SHEET_ROWS; row++)
        fill_row(errors, class, (enum sheet_row)row, found, &sheet);
    char *path = report_plot_path(request, "errors", class);
    struct picture picture = {.path = path, .missing = request->missing};
    enum status st = path != NULL ? plot_errors(&picture, &sheet, err)
                                  : error_memory(err, request->folder, strlen(request->folder));
    request->missing = picture.missing;
    free(path);
    return st;
}

static enum status write_sheets(const struct errors *errors, struct plot_request *request, struct error *err)
{
    struct found *found = malloc(((size_t)errors->images + 1) * sizeof(*found));
    enum status st = found != NULL
                         ? file_make_folder(request->folder, err)
                         : error_memory(err, "test images", (size_t)errors->images * sizeof(*found));
    for (int32_t k = 0; st == ST_OK && k < errors->data.classes; k++)
        st = write_sheet(errors, k, found, request, err);
    free(found);
    return st;
}

enum status errors_write(const char *run_folder, struct plot_request *request, struct error *err)
{
    struct errors errors = {0};
    if (request->format == PLOT_CSV)
        return error_set(err, ST_RANGE, "--errors draws pictures: expected --format=png, svg or pdf");
    char *folder = file_join(run_folder, "plots");
    struct plot_request there = *request;
    if (there.folder == NULL)
        there.folder = folder;
    enum status st = folder != NULL ? read_all(run_folder, &errors, err)
                                    : error_memory(err, run_folder, strlen(run_folder));
    if (st == ST_OK)
        st = check(run_folder, &errors, err);
    const struct predictions data_labels = labels_of_data(&errors.data);
    if (st == ST_OK)
        st = name_labels(&errors.predictions, &errors.told, err);
    if (st == ST_OK)
        st = name_labels(&data_labels, &errors.shown, err);
    if (st == ST_OK)
        st = write_sheets(&errors, &there, err);
    request->missing = there.missing;
    free_names(errors.told, labels_of(&errors.predictions));
    free_names(errors.shown, labels_of(&data_labels));
    predictions_free(&errors.predictions);
    data_free(&errors.data);
    free(folder);
    return st;
}

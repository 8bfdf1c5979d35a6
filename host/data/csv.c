/* CSV lists of images: `path,label[,split]`, or the order of Google's tools, `[split,]path,label`, with or
 * without a header. Fields may be quoted as RFC 4180 says. A header's names tell the columns; without one the
 * first line does. */
#include "host/base/file.h"
#include "host/data/data_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { FIELDS_MAX = 64 };
enum column { COLUMN_PATH, COLUMN_LABEL, COLUMN_SPLIT, COLUMN_COUNT };

struct csv {
    const char *path;
    char *folder; /* relative paths start here */
    char *text, *end;
    char *at;     /* the next byte to read */
    int32_t line; /* of the row just read, from 1 */
    int32_t next_line;
    char *fields[FIELDS_MAX]; /* inside text, which the reading changes */
    int32_t field_count;
    int32_t field_of[COLUMN_COUNT]; /* which field is the column; -1: none */
};

/* Takes one field at csv->at apart, in place: quotes are removed. *last: the row ends behind it. */
static enum status read_field(struct csv *csv, bool *last, struct error *err)
{
    char *from = csv->at, *to = csv->at, *field = csv->at;
    bool quoted = from < csv->end && *from == '"';
    if (quoted) {
        for (from++;; from++) {
            if (from >= csv->end)
                return error_set(err, ST_FORMAT, "%s:%d: a quoted field without an end, expected \"",
                                 csv->path, csv->line);
            if (*from == '"' && (from + 1 >= csv->end || from[1] != '"'))
                break;
            if (*from == '"')
                from++;
            if (*from == '\n')
                csv->next_line++;
            *to++ = *from;
        }
        from++;
    }
    while (from < csv->end && *from != ',' && *from != '\n') {
        if (*from == '\0')
            return error_set(err, ST_FORMAT, "%s:%d: a zero byte, expected text", csv->path, csv->line);
        *to++ = *from++;
    }
    *last = from >= csv->end || *from == '\n';
    if (*last)
        csv->next_line++;
    csv->at = from < csv->end ? from + 1 : from;
    while (field < to && (*field == ' ' || *field == '\t'))
        field++;
    while (to > field && (to[-1] == ' ' || to[-1] == '\t' || to[-1] == '\r'))
        to--;
    *to = '\0'; /* there is a byte: the separator, or the NUL behind the text */
    if (csv->field_count == FIELDS_MAX)
        return error_set(err, ST_FORMAT, "%s:%d: more than %d columns, expected 2 or 3", csv->path, csv->line,
                         FIELDS_MAX);
    csv->fields[csv->field_count++] = field;
    return ST_OK;
}

/* The next row that is not blank; *more is false behind the last. */
static enum status read_row(struct csv *csv, bool *more, struct error *err)
{
    do {
        bool last = false;
        csv->field_count = 0;
        csv->line = csv->next_line;
        *more = csv->at < csv->end;
        while (*more && !last) {
            enum status st = read_field(csv, &last, err);
            if (st != ST_OK)
                return st;
        }
    } while (*more && csv->field_count == 1 && csv->fields[0][0] == '\0');
    return ST_OK;
}

/* The column that a header's word names, -1: none. */
static int column_of_word(const char *word)
{
    static const struct {
        const char *word;
        enum column column;
    } words[] = {
        {"path", COLUMN_PATH},      {"file", COLUMN_PATH},        {"filename", COLUMN_PATH},
        {"file_name", COLUMN_PATH}, {"filepath", COLUMN_PATH},    {"file_path", COLUMN_PATH},
        {"image", COLUMN_PATH},     {"image_path", COLUMN_PATH},  {"image_uri", COLUMN_PATH},
        {"uri", COLUMN_PATH},       {"label", COLUMN_LABEL},      {"class", COLUMN_LABEL},
        {"category", COLUMN_LABEL}, {"class_name", COLUMN_LABEL}, {"target", COLUMN_LABEL},
        {"split", COLUMN_SPLIT},    {"set", COLUMN_SPLIT},        {"subset", COLUMN_SPLIT},
        {"ml_use", COLUMN_SPLIT},
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasecmp(word, words[i].word) == 0)
            return (int)words[i].column;
    return -1;
}

/* Google's lists call images that are to be split later UNASSIGNED, or leave the field empty. */
static bool is_split_word(const char *word)
{
    return word[0] == '\0' || strcasecmp(word, "unassigned") == 0 || data_split_of_word(word) >= 0;
}

/* Reads the columns from the first row. *header: the row was one, and holds no image. */
static enum status read_columns(struct csv *csv, bool *header, struct error *err)
{
    int32_t named = 0;
    for (int column = 0; column < COLUMN_COUNT; column++)
        csv->field_of[column] = -1;
    for (int32_t i = 0; i < csv->field_count; i++) {
        int column = column_of_word(csv->fields[i]);
        if (column >= 0 && csv->field_of[column] < 0) {
            csv->field_of[column] = i;
            named++;
        }
    }
    *header = csv->field_of[COLUMN_PATH] >= 0 || named >= 2;
    if (*header) {
        if (csv->field_of[COLUMN_PATH] < 0 || csv->field_of[COLUMN_LABEL] < 0)
            return error_set(err, ST_FORMAT,
                             "%s:%d: the header has no column \"%s\", expected path, label and maybe split",
                             csv->path, csv->line, csv->field_of[COLUMN_PATH] < 0 ? "path" : "label");
        return ST_OK;
    }
    if (csv->field_count < 2 || csv->field_count > 3)
        return error_set(err, ST_FORMAT,
                         "%s:%d: %d columns, expected path,label[,split] or [split,]path,label", csv->path,
                         csv->line, csv->field_count);
    bool split_first = csv->field_count == 3 && is_split_word(csv->fields[0]);
    csv->field_of[COLUMN_PATH] = split_first ? 1 : 0;
    csv->field_of[COLUMN_LABEL] = split_first ? 2 : 1;
    csv->field_of[COLUMN_SPLIT] = csv->field_count == 2 ? -1 : split_first ? 0 : 2;
    return ST_OK;
}

/* What is wrong with the row's fields, before its file is looked at. */
static enum status check_row(const struct csv *csv, struct error *err)
{
    int32_t needed = 0;
    for (int column = 0; column < COLUMN_COUNT; column++)
        if (column != COLUMN_SPLIT && csv->field_of[column] + 1 > needed)
            needed = csv->field_of[column] + 1;
    if (csv->field_count < needed)
        return error_set(err, ST_FORMAT, "%s:%d: %d columns, expected at least %d", csv->path, csv->line,
                         csv->field_count, needed);
    if (csv->fields[csv->field_of[COLUMN_PATH]][0] == '\0')
        return error_set(err, ST_FORMAT, "%s:%d: an empty path", csv->path, csv->line);
    if (csv->fields[csv->field_of[COLUMN_LABEL]][0] == '\0')
        return error_set(err, ST_FORMAT, "%s:%d: no label for %s", csv->path, csv->line,
                         csv->fields[csv->field_of[COLUMN_PATH]]);
    if (csv->field_of[COLUMN_SPLIT] >= 0 && csv->field_of[COLUMN_SPLIT] < csv->field_count &&
        !is_split_word(csv->fields[csv->field_of[COLUMN_SPLIT]]))
        return error_set(err, ST_FORMAT, "%s:%d: split \"%s\", expected train, validation or test", csv->path,
                         csv->line, csv->fields[csv->field_of[COLUMN_SPLIT]]);
    return ST_OK;
}

/* Adds the row's image to the list; what is wrong with it alone goes through data_list_problem. */
static enum status add_row(const struct csv *csv, struct data_list *list, struct error *err)
{
    struct stat about;
    struct data_item item = {.line = csv->line, .split = SPLIT_TRAIN};
    if (check_row(csv, err) != ST_OK)
        return data_list_problem(list, err);
    const char *name = csv->fields[csv->field_of[COLUMN_PATH]];
    if (csv->field_of[COLUMN_SPLIT] >= 0 && csv->field_of[COLUMN_SPLIT] < csv->field_count) {
        int split = data_split_of_word(csv->fields[csv->field_of[COLUMN_SPLIT]]);
        item.split = split >= 0 ? (uint8_t)split : SPLIT_TRAIN;
    }
    item.path = name[0] == '/' ? strdup(name) : file_join(csv->folder, name);
    if (item.path == NULL)
        return error_memory(err, name, strlen(name));
    if (stat(item.path, &about) != 0)
        error_system(err, errno, "%s:%d: %s", csv->path, csv->line, item.path);
    else if (!S_ISREG(about.st_mode))
        error_set(err, ST_FORMAT, "%s:%d: %s: is no regular file, expected an image", csv->path, csv->line,
                  item.path);
    else {
        item.size = about.st_size;
        item.modified = (int64_t)about.st_mtim.tv_sec * 1000000000 + about.st_mtim.tv_nsec;
        enum status st = data_list_class(list, csv->fields[csv->field_of[COLUMN_LABEL]], &item.label, err);
        if (st == ST_OK)
            return data_list_add(list, &item, err);
        free(item.path);
        return st;
    }
    free(item.path);
    return data_list_problem(list, err);
}

/* The folder that relative paths start from: the job's, or the CSV file's own. */
static char *choose_folder(const struct job_dataset *job)
{
    if (job->images != NULL && job->images[0] != '\0')
        return strdup(job->images);
    const char *slash = strrchr(job->path, '/');
    if (slash == NULL)
        return strdup(".");
    return strndup(job->path, slash > job->path ? (size_t)(slash - job->path) : 1);
}

static enum status read_rows(struct csv *csv, struct data_list *list, struct error *err)
{
    bool more = false, header = false;
    enum status st = read_row(csv, &more, err);
    if (st != ST_OK)
        return st;
    if (!more)
        return error_set(err, ST_FORMAT, "%s: no rows, expected path,label[,split]", csv->path);
    st = read_columns(csv, &header, err);
    if (st == ST_OK && header)
        st = read_row(csv, &more, err);
    while (st == ST_OK && more) {
        st = add_row(csv, list, err);
        if (st == ST_OK)
            st = read_row(csv, &more, err);
    }
    return st;
}

enum status data_list_csv(const struct job_dataset *job, struct data_list *list, struct error *err)
{
    struct csv csv = {.path = job->path, .next_line = 1};
    size_t length = 0;

    enum status st = file_read(job->path, &csv.text, &length, err);
    if (st != ST_OK)
        return st;
    csv.folder = choose_folder(job);
    if (csv.folder == NULL) {
        st = error_memory(err, job->path, strlen(job->path));
        goto out;
    }
    csv.at = csv.text;
    csv.end = csv.text + length;
    if (length >= 3 &&
        memcmp(csv.text, "\xef\xbb\xbf", 3) == 0) /* the mark that some editors put in front of UTF-8 */
        csv.at += 3;
    st = read_rows(&csv, list, err);
out:
    free(csv.folder);
    free(csv.text);
    return st;
}

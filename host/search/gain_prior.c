#include "host/search/gain_prior.h"

#include "host/base/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 16 };
static const char MAGIC[] = "nasrun search prior";

struct gain_prior gain_prior_weak(void)
{
    struct gain_prior prior = {.read = false};
    for (int i = 0; i < CHANGE_COUNT; i++)
        prior.deviation[i] = change_weak((enum change_feature)i);
    return prior;
}

static int find(const char *name)
{
    int feature = 0;
    while (feature < CHANGE_COUNT && strcmp(name, change_name((enum change_feature)feature)) != 0)
        feature++;
    return feature;
}

static enum status read_version(const char *path, const char *line, struct error *err)
{
    int version;
    char behind;
    if (strncmp(line, MAGIC, sizeof(MAGIC) - 1) != 0 ||
        sscanf(line + sizeof(MAGIC) - 1, "%d%c", &version, &behind) != 1)
        return error_set(err, ST_FORMAT,
                         "%s: found no prior of a search, expected \"%s %d\" in its first line", path, MAGIC,
                         GAIN_PRIOR_VERSION);
    if (version != GAIN_PRIOR_VERSION)
        return error_set(err, ST_UNSUPPORTED, "%s: found a search prior of version %d, expected version %d",
                         path, version, GAIN_PRIOR_VERSION);
    return ST_OK;
}

static enum status read_line(const char *path, int number, const char *line, bool *seen,
                             struct gain_prior *prior, struct error *err)
{
    char name[32], behind;
    double mean, deviation;
    if (line[0] == '#' || line[0] == '\0')
        return ST_OK;
    if (sscanf(line, "%31s %lf %lf %c", name, &mean, &deviation, &behind) != 3 || !isfinite(mean) ||
        !isfinite(deviation) || deviation < 0.0)
        return error_set(err, ST_FORMAT, "%s, line %d: expected a name, a mean and a deviation from 0", path,
                         number);
    const int feature = find(name);
    if (feature == CHANGE_COUNT || seen[feature])
        return error_set(err, ST_FORMAT, "%s, line %d: found \"%s\", expected another number of a change",
                         path, number, name);
    seen[feature] = true;
    prior->mean[feature] = mean;
    prior->deviation[feature] = deviation;
    return ST_OK;
}

static enum status read_lines(const char *path, char *text, struct gain_prior *prior, struct error *err)
{
    bool seen[CHANGE_COUNT] = {false};
    enum status st = ST_OK;
    int number = 0;
    for (char *line = text, *next; st == ST_OK && line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        st = ++number == 1 ? read_version(path, line, err) : read_line(path, number, line, seen, prior, err);
    }
    for (int i = 0; st == ST_OK && i < CHANGE_COUNT; i++)
        if (!seen[i])
            st = error_set(err, ST_FORMAT, "%s: found no line of \"%s\", expected one", path,
                           change_name((enum change_feature)i));
    return st;
}

enum status gain_prior_read(const char *path, struct gain_prior *prior, struct error *err)
{
    char *text;
    size_t length;
    *prior = (struct gain_prior){.read = true};
    enum status st = file_read_limited(path, MOST_BYTES, &text, &length, err);
    if (st == ST_OK) {
        st = read_lines(path, text, prior, err);
        free(text);
    }
    return st;
}

void gain_prior_print(const struct gain_prior *prior, FILE *stream)
{
    fprintf(stream, "%s %d\n", MAGIC, GAIN_PRIOR_VERSION);
    for (int i = 0; i < CHANGE_COUNT; i++)
        fprintf(stream, "%s %.6g %.6g\n", change_name((enum change_feature)i), prior->mean[i],
                prior->deviation[i]);
}

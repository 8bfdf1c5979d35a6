/* The nearest known key, for a message that helps. */
#include "spec/schema.h"

#include <string.h>

enum { NAME_MAX_LENGTH = 63 }; /* longer names are nobody's typing error */

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Edit distance where exchanging two neighbours counts one (optimal string alignment). Both at most
 * NAME_MAX_LENGTH long. */
static int edit_distance(const char *a, const char *b)
{
    int rows[3][NAME_MAX_LENGTH + 1];
    int *before = rows[0], *last = rows[1], *row = rows[2];
    int a_length = (int)strlen(a), b_length = (int)strlen(b);
    for (int j = 0; j <= b_length; j++)
        before[j] = last[j] = j;
    for (int i = 1; i <= a_length; i++) {
        row[0] = i;
        for (int j = 1; j <= b_length; j++) {
            row[j] = smaller(smaller(last[j], row[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = smaller(row[j], before[j - 2] + 1);
        }
        int *oldest = before;
        before = last;
        last = row;
        row = oldest;
    }
    return last[b_length];
}

const char *spec_suggest(const char *name)
{
    if (strcmp(name, "search.baseline") == 0) /* of older versions */
        return "baseline.start";
    const char *nearest = NULL;
    if (strlen(name) > NAME_MAX_LENGTH)
        return NULL;
    const char *own = name + spec_section_length(name);
    int allowed = 1 + (int)strlen(own) / 3;
    for (int i = 0; i < SPEC_KEY_COUNT; i++) {
        const char *known = spec_keys[i].name;
        int whole = edit_distance(name, known);
        /* The right key in the wrong section, or in none. */
        int inside = edit_distance(own, known + spec_section_length(known)) + 1;
        int distance = smaller(whole, inside);
        if (distance <= allowed) {
            allowed = distance - 1; /* from here on only better ones */
            nearest = known;
        }
    }
    return nearest;
}

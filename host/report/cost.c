#include "host/report/cost.h"

#include "host/base/text.h"
#include "host/report/json.h"

#include <math.h>

enum { NAME_BYTES = 256 };

static const double HOUR = 3600.0, KILOWATT_HOUR = 3.6e6;

/* Vertex AI, training of an image classifier that stays in the cloud, as its page of prices had it in 2026: US dollars
 * a node hour, and the fewest that are sold. */
static const double GOOGLE_NODE_HOUR = 3.465, GOOGLE_LEAST_HOURS = 8.0;

double cost_of(const struct history *history, const struct history_test *test)
{
    return history->model_clock || !(test->cost_per_hour > 0.0)
               ? NAN
               : test->cost_per_hour * test->elapsed_seconds / HOUR;
}

static double node_hours(const struct history_test *test)
{
    return fmax(test->elapsed_seconds / HOUR, GOOGLE_LEAST_HOURS);
}

static void print_cost(FILE *out, const struct history *history, const struct history_test *test)
{
    const double cost = cost_of(history, test), hours = node_hours(test);
    char currency[NAME_BYTES];
    text_shown(test->currency, currency, sizeof(currency));
    if (isnan(cost)) {
        fprintf(out, "cost: unknown, for no clock counts this run's time (budget.clock)\n");
        return;
    }
    fprintf(out, "cost: %.*f %s for %.4g h at %.10g %s\n", cost < 1.0 ? 4 : 2, cost, currency,
            test->elapsed_seconds / HOUR, test->cost_per_hour, currency);
    fprintf(out, "Google's list price: %.2f USD for %.4g node hours%s at %.10g USD (Vertex AI, 2026)\n",
            hours * GOOGLE_NODE_HOUR, hours, hours > GOOGLE_LEAST_HOURS ? "" : ", the fewest,",
            GOOGLE_NODE_HOUR);
}

void cost_print(FILE *out, const struct history *history, const struct history_test *test)
{
    const bool asked = test->cost_per_hour > 0.0 && test->currency != NULL;
    char source[NAME_BYTES];
    if (asked)
        print_cost(out, history, test);
    if (test->energy > 0.0 && test->energy_source != NULL)
        fprintf(out, "energy: %.4g kWh by the counters of %s, with all else that ran there\n",
                test->energy / KILOWATT_HOUR, text_shown(test->energy_source, source, sizeof(source)));
    else if (asked)
        fprintf(out, "energy: unknown\n");
}

static bool add_cost(cJSON *json, const struct history *history, const struct history_test *test)
{
    if (!(test->cost_per_hour > 0.0))
        return cJSON_AddNullToObject(json, "cost") != NULL;
    const double cost = cost_of(history, test);
    cJSON *object = cJSON_AddObjectToObject(json, "cost");
    return object != NULL && json_add_number(object, "total", cost) &&
           json_add_number(object, "per_hour", test->cost_per_hour) &&
           json_add_text(object, "currency", test->currency) &&
           json_add_number(object, "google_usd", isnan(cost) ? NAN : node_hours(test) * GOOGLE_NODE_HOUR);
}

bool cost_add(cJSON *json, const struct history *history, const struct history_test *test)
{
    return add_cost(json, history, test) && json_add_number(json, "energy_joules", test->energy) &&
           json_add_text(json, "energy_source", test->energy_source);
}

/* What LeakSanitizer shall not report: it asks for this function in every program that it is linked into. */

/* fontconfig keeps its configuration until the process ends, and so does every program that draws text. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfontconfig\n";
}

/*
 * system_date.c - the date and the time of day (keepmap/compat/winbase.h).
 */
#include <time.h>

#include <keepmap/compat/winbase.h>

static void now_by(struct tm *(*fields_of)(const time_t *, struct tm *), LPSYSTEMTIME to) {
    struct timespec now;
    struct tm fields = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)fields_of(&now.tv_sec, &fields);
    *to = (SYSTEMTIME){.wYear = (WORD)(fields.tm_year + 1900),
                       .wMonth = (WORD)(fields.tm_mon + 1),
                       .wDayOfWeek = (WORD)fields.tm_wday,
                       .wDay = (WORD)fields.tm_mday,
                       .wHour = (WORD)fields.tm_hour,
                       .wMinute = (WORD)fields.tm_min,
                       .wSecond = (WORD)fields.tm_sec,
                       .wMilliseconds = (WORD)(now.tv_nsec / 1000000)};
}

void GetSystemTime(LPSYSTEMTIME utc) {
    now_by(gmtime_r, utc);
}

/* localtime_r need not have read the time zone before. */
void GetLocalTime(LPSYSTEMTIME local) {
    tzset();
    now_by(localtime_r, local);
}

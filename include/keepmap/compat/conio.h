/*
 * conio.h - single keys, from a terminal or from whatever standard input is.
 *
 * At a terminal a key comes as it is pressed, and what it sends is not shown; the terminal is as it
 * was after each call. Ctrl-C, Ctrl-\ and Ctrl-Z do what they always do, the terminal put right
 * first. Elsewhere the keys are standard input's characters, in step with stdio. Enter is '\r' in
 * either. An arrow key is the sequence of characters that the terminal sends for it.
 */
#if defined(_WIN32)
#pragma GCC system_header /* #include_next is an extension */
#include_next <conio.h>
#else
#ifndef KEEPMAP_COMPAT_CONIO_H
#define KEEPMAP_COMPAT_CONIO_H

#include "../win32.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Waits for a key. EOF (-1) when there are no more. */
KMW_EXPORT int _getch(void) KMW_AS(_getch);
/* The same, and shows it on standard output. */
KMW_EXPORT int _getche(void) KMW_AS(_getche);
/* Not 0: _getch would not wait (the end of the input included). */
KMW_EXPORT int _kbhit(void) KMW_AS(_kbhit);
/* The next key will be this one. EOF if there is such a one already, or if it is EOF. */
KMW_EXPORT int _ungetch(int key) KMW_AS(_ungetch);
/* To standard output at once. The character, or EOF. */
KMW_EXPORT int _putch(int character) KMW_AS(_putch);
/* The same with text; 0 if it went out. */
KMW_EXPORT int _cputs(const char *text) KMW_AS(_cputs);

#ifdef __cplusplus
}
#endif

/* Not where <curses.h> has been included, which has a getch of its own. */
#if !defined(NO_OLDNAMES) && !defined(getch)
#define getch() _getch()
#define getche() _getche()
#define kbhit() _kbhit()
#define ungetch(key) _ungetch(key)
#define putch(character) _putch(character)
#define cputs(text) _cputs(text)
#endif

#endif /* KEEPMAP_COMPAT_CONIO_H */
#endif

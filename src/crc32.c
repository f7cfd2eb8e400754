/*
 * crc32.c - CRC-32 without any library: eight bytes a step, by eight tables.
 *
 * Table k has for each byte the remainder it leaves once k more zero bytes have gone by. Remainders
 * add up (by exclusive or), so a table follows from its eight entries for single bits, and they
 * from one another: each is the one for the next higher bit, one bit further.
 */
#include "codec.h"

#define BIT(byte, n) (0u - (((byte) >> (n)) & 1u))
#define ENTRY(i, b0, b1, b2, b3, b4, b5, b6, b7)                                                   \
    ((BIT(i, 0) & (b0)) ^ (BIT(i, 1) & (b1)) ^ (BIT(i, 2) & (b2)) ^ (BIT(i, 3) & (b3)) ^           \
     (BIT(i, 4) & (b4)) ^ (BIT(i, 5) & (b5)) ^ (BIT(i, 6) & (b6)) ^ (BIT(i, 7) & (b7)))
#define ENTRIES_4(i, ...)                                                                          \
    ENTRY((i), __VA_ARGS__), ENTRY((i) + 1u, __VA_ARGS__), ENTRY((i) + 2u, __VA_ARGS__),           \
        ENTRY((i) + 3u, __VA_ARGS__)
#define ENTRIES_16(i, ...)                                                                         \
    ENTRIES_4((i), __VA_ARGS__), ENTRIES_4((i) + 4u, __VA_ARGS__),                                 \
        ENTRIES_4((i) + 8u, __VA_ARGS__), ENTRIES_4((i) + 12u, __VA_ARGS__)
#define ENTRIES_64(i, ...)                                                                         \
    ENTRIES_16((i), __VA_ARGS__), ENTRIES_16((i) + 16u, __VA_ARGS__),                              \
        ENTRIES_16((i) + 32u, __VA_ARGS__), ENTRIES_16((i) + 48u, __VA_ARGS__)
#define TABLE(...)                                                                                 \
    {                                                                                              \
        ENTRIES_64(0u, __VA_ARGS__), ENTRIES_64(64u, __VA_ARGS__), ENTRIES_64(128u, __VA_ARGS__),  \
            ENTRIES_64(192u, __VA_ARGS__)                                                          \
    }

/* The last entry of the first row is gzip's polynomial, its bits reversed. */
static const uint32_t tables[8][256] = {
    TABLE(0x77073096, 0xEE0E612C, 0x076DC419, 0x0EDB8832, 0x1DB71064, 0x3B6E20C8, 0x76DC4190,
          0xEDB88320),
    TABLE(0x191B3141, 0x32366282, 0x646CC504, 0xC8D98A08, 0x4AC21251, 0x958424A2, 0xF0794F05,
          0x3B83984B),
    TABLE(0x01C26A37, 0x0384D46E, 0x0709A8DC, 0x0E1351B8, 0x1C26A370, 0x384D46E0, 0x709A8DC0,
          0xE1351B80),
    TABLE(0xB8BC6765, 0xAA09C88B, 0x8F629757, 0xC5B428EF, 0x5019579F, 0xA032AF3E, 0x9B14583D,
          0xED59B63B),
    TABLE(0x3D6029B0, 0x7AC05360, 0xF580A6C0, 0x30704BC1, 0x60E09782, 0xC1C12F04, 0x58F35849,
          0xB1E6B092),
    TABLE(0xCB5CD3A5, 0x4DC8A10B, 0x9B914216, 0xEC53826D, 0x03D6029B, 0x07AC0536, 0x0F580A6C,
          0x1EB014D8),
    TABLE(0xA6770BB4, 0x979F1129, 0xF44F2413, 0x33EF4E67, 0x67DE9CCE, 0xCFBD399C, 0x440B7579,
          0x8816EAF2),
    TABLE(0xCCAA009E, 0x4225077D, 0x844A0EFA, 0xD3E51BB5, 0x7CBB312B, 0xF9766256, 0x299DC2ED,
          0x533B85DA),
};

uint32_t km_crc32_plain(uint32_t crc, const void *bytes, size_t length) {
    const uint8_t *at = bytes;
    crc = ~crc;
    for (; length >= 8; at += 8, length -= 8) {
        uint32_t first = crc ^ ((uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
                                (uint32_t)at[3] << 24);
        crc = tables[7][first & 0xFF] ^ tables[6][first >> 8 & 0xFF] ^
              tables[5][first >> 16 & 0xFF] ^ tables[4][first >> 24] ^ tables[3][at[4]] ^
              tables[2][at[5]] ^ tables[1][at[6]] ^ tables[0][at[7]];
    }
    for (; length > 0; at++, length--) {
        crc = crc >> 8 ^ tables[0][(crc ^ *at) & 0xFF];
    }
    return ~crc;
}

// xxHash as Debian ships it (libxxhash-dev), inline: Weir needs no shared library of it.
#define XXH_INLINE_ALL
#define XXH_NO_XXH3
#include <xxhash.h>

// The header renames its functions when they are inline; Swift does not see through that.
static inline unsigned long long weir_xxh64(const void *bytes, size_t count, unsigned long long seed) {
    return XXH64(bytes, count, seed);
}

/// Extended grapheme clusters (UAX 29): what a reader takes for one character. Pairs of regional indicators and conjuncts of Indic scripts
/// are not joined: the one who asks, the Precompiled normalizer, looks at clusters of less than six bytes only.
#pragma once
#include <cstddef>
#include <string_view>

namespace fedlora::unicode {

/// The end of the cluster that begins at `begin` < text.size().
size_t cluster_end(std::string_view text, size_t begin);

}  // namespace fedlora::unicode

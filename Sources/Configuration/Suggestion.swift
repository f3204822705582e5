// The nearest right spelling of a misspelt word. The key table asks it about keys and choices,
// validation about names of pools.

/// The candidate that `word` was probably meant to be, nil when none is near. Case and `-` for `_` cost
/// nothing; else up to one edit for each three characters, at least one.
public func nearestSpelling(of word: String, among candidates: [String]) -> String? {
    let wanted = foldedSpelling(word)
    let longestCompared = 64
    if wanted.isEmpty || wanted.count > longestCompared { return nil }
    var best: (candidate: String, distance: Int)?
    let candidatesCompared = 1000
    for candidate in candidates.prefix(candidatesCompared) {
        let folded = foldedSpelling(candidate)
        let allowed = max(1, max(wanted.count, folded.count) / 3)
        if folded.count > longestCompared || abs(folded.count - wanted.count) > allowed { continue }
        let distance = editDistance(wanted, folded)
        // A word that shares nothing with a short candidate is not a misspelling of it.
        if distance > allowed || distance >= folded.count { continue }
        if best.map({ distance < $0.distance }) ?? true { best = (candidate, distance) }
    }
    return best?.candidate
}

private func foldedSpelling(_ word: String) -> [Unicode.Scalar] {
    word.lowercased().unicodeScalars.map { $0 == "-" ? "_" : $0 }
}

/// Damerau-Levenshtein distance (optimal string alignment): insertions, deletions, replacements and swaps
/// of neighbours.
private func editDistance(_ a: [Unicode.Scalar], _ b: [Unicode.Scalar]) -> Int {
    var beforePrevious = [Int](repeating: 0, count: b.count + 1)
    var previous = Array(0...b.count)
    for i in 0..<a.count {
        var current = [Int](repeating: i + 1, count: b.count + 1)
        for j in 0..<b.count {
            let replacement = previous[j] + (a[i] == b[j] ? 0 : 1)
            current[j + 1] = min(replacement, previous[j + 1] + 1, current[j] + 1)
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
                current[j + 1] = min(current[j + 1], beforePrevious[j - 1] + 1)
            }
        }
        (beforePrevious, previous) = (previous, current)
    }
    return previous[b.count]
}

// What happened between two samples: rates, percentiles, means.

struct Interval {
    let before: Sample
    let after: Sample

    /// Of Weir's own clock; never 0.
    var seconds: Double {
        let elapsed =
            after.uptimeMicroseconds > before.uptimeMicroseconds
            ? after.uptimeMicroseconds - before.uptimeMicroseconds : 1
        return Double(elapsed) / 1e6
    }

    /// By name: a reload may have changed who there is. Who is new is compared with nothing.
    func listener(before now: Sample.Listener) -> Sample.Listener? {
        before.listeners.first { $0.name == now.name }
    }

    func rate(_ now: UInt64, since then: UInt64?) -> Double { Double(grown(now, since: then)) / seconds }

    /// The cores that Weir kept busy.
    var cores: Double { rate(after.processorMicroseconds, since: before.processorMicroseconds) / 1e6 }

    /// The longest duration (microseconds) that `percent` of those in the interval did not exceed, as exactly as the
    /// buckets know it: within one, durations are taken to be spread evenly. nil where there was none.
    func percentile(_ percent: Double, _ now: Sample.Listener) -> UInt64? {
        let then = listener(before: now)?.counts ?? []
        let counts = now.counts.enumerated().map { index, count in
            grown(count, since: index < then.count ? then[index] : nil)
        }
        let all = counts.reduce(0, +)
        guard all > 0 else { return nil }
        let rank = Double(all) * percent / 100
        var seen = 0.0
        for (index, count) in counts.enumerated() where count > 0 {
            let inBucket = Double(count)
            if seen + inBucket >= rank {
                let low = index > 0 ? Double(now.bounds[min(index, now.bounds.count) - 1]) : 0
                let high = index < now.bounds.count ? Double(now.bounds[index]) : low
                return UInt64(low + (high - low) * (rank - seen) / inBucket)
            }
            seen += inBucket
        }
        return now.bounds.last
    }

    /// The mean time to answer, in microseconds; nil where there was no answer.
    func answer(_ now: Sample.Backend, since then: Sample.Backend?) -> UInt64? {
        let answers = grown(now.answers, since: then?.answers)
        return answers == 0 ? nil : grown(now.answerMicroseconds, since: then?.answerMicroseconds) / answers
    }

    private func grown(_ now: UInt64, since then: UInt64?) -> UInt64 {
        guard let then, now >= then else { return now }
        return now - then
    }
}

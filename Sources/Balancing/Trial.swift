// The way back of an ejected backend whose time is up: it is on trial, and takes one session at a time over the whole
// process until one of them says that it is well. The trial is part of its standing, so that whoever wins the
// exchange is the one session, and its word is heard only while the trial is still its own.
//
//   ejected -> open -> under way -> passed -> (the keeper admits it)
//                ^         |  '---> ejected again
//                '---------'  the session ends and says nothing

import Base

extension Standing {
    /// How far the trial is.
    public enum Trial: UInt32, BitwiseCopyable, Sendable {
        case none
        /// The next session is taken.
        case open
        /// A session is at it, and no other is taken.
        case underWay
        /// The session went well.
        case passed
    }

    /// No standing at all: what sessions have that are no trial.
    public static var noTrial: Standing { Standing(rawValue: 0) }

    @inline(__always)
    public var trial: Trial { Trial(rawValue: rawValue >> 12 & 3)! }

    /// Of an ejected backend, with the number of the trial, so that a late word about an older one is told apart.
    private init(_ trial: Trial, number: UInt32) {
        let share = trial == .open ? UInt32(Self.wholeShare) : 0
        self.init(
            rawValue: number << 24 | UInt32(BackendState.ejected.rawValue) << 16 | trial.rawValue << 12
                | share)
    }

    private var trialNumber: UInt32 { rawValue >> 24 }

    /// The same number: the next session gets another.
    public var trialOpened: Standing { Standing(.open, number: trialNumber) }
    public var trialBegun: Standing { Standing(.underWay, number: (trialNumber + 1) & 0xFF) }
    public var trialPassed: Standing { Standing(.passed, number: trialNumber) }
}

extension Candidates {
    /// What a session is to one whose place it has just taken: `noTrial`, or the trial that it begins; nil where
    /// another session was faster.
    @inline(__always)
    public func begin(_ index: Int) -> Standing? {
        let standing = self[index].standing.load(ordering: .relaxed)
        return standing == .healthy ? .noTrial : beginTrial(index, standing)
    }

    private func beginTrial(_ index: Int, _ standing: Standing) -> Standing? {
        if standing.trial == .none { return .noTrial }
        if standing.trial == .open, change(index, from: standing, to: standing.trialBegun) {
            return standing.trialBegun
        }
        // In panic the others are taken too.
        return tally.isPanicking ? .noTrial : nil
    }
}

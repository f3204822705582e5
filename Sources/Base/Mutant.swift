// Planted defects, to prove that the simulator sees what it claims to see. Without the flag MUTANTS (which only
// `make simulate-mutants` sets, in a build of its own) `mutant` is a constant and the defects are not in the
// program.

/// One defect each; the name says what goes wrong.
@usableFromInline
package enum Mutant: String, CaseIterable, Sendable {
    case lostBuffer, doubleClose, slotFreedEarly, staleGeneration, droppedHalfClose, twoSends,
        missedRearmAfterNoBuffers
    case bytesOffByOne, missedIdleTimer, backendNotReleased, queueDroppedAtEnd, pipeNotReturned
    case recordTwice, resetNotPassedOn, connectNeverTimesOut, shortSendRepeated, acceptNotRearmed
    case clientPlaceNotReleased, pipedBytesDroppedAtEnd, receivesInWrongOrder, cancelledReceiveNotResumed,
        spinsForRoom, oneBurstAtALimit, drainTurnsAway, newClientsFirst, missedCancelNotRepeated,
        idlePipesStay, pipesBeforeSockets, fullQueueForgotten, lastWordsDropped, resetOvertakes
    case ejectedIsPicked, moreAreEjected, ejectionNeverEnds, clientsCountAsFaults, manyOnTrial
    case deniedIsServed, limitIgnored
    // Of http mode.
    case parkedWithBytes, parkedBeforeSent, postSentAgain, brokenEndLooksWhole, keptRequestLost,
        exchangeLeaked
    case headDeadlineProlonged, responseHeadAwaitedForEver, droppedBodyIsRequest, lastByteLeftOut, loggedTwice
    case closedBehindAnswer, requestLostAtRetry, partSentAgain, headGetsBody, pipelinedStopAtHalfClose
    case stickyIgnored, clientNotRemembered, oldCookieKept
    case hedgeNotReleased, hedgeLoserKept
    // Of requests that share a connection.
    case leftoverDropped, behindForgotten, truncatedKept, behindInWrongOrder, anythingShared
    // Of backends that are taken out.
    case removedGoOn, takenOutIsPicked, takenOutKeepsConnections
    case retryKeepsBudget, budgetIgnored, triesUncounted, postTriedAgain, sameBackendTried,
        triedAgainWhateverFailed, tryLeavesAnswer
    // Of those who wait for a place.
    case pendingNotWoken, poolPlaceKept, pendingOutOfOrder, pendingForEver

    #if MUTANTS
        /// The defect that is active in this process; set once, before any worker.
        @usableFromInline nonisolated(unsafe) package static var active: Mutant?
    #endif
}

/// True where the defect is to happen.
@inlinable @inline(__always)
package func mutant(_ defect: Mutant) -> Bool {
    #if MUTANTS
        return Mutant.active == defect
    #else
        return false
    #endif
}

using Marmot.Protocol.Encoding;

namespace Marmot.Hosting.Cluster;

/// <summary>What the ledger says to a claim.</summary>
public enum ClaimAnswer
{
    /// <summary>Ours, until the lease ends.</summary>
    Owned,

    /// <summary>Another holds it now.</summary>
    Held,

    /// <summary>It was done, by whomever.</summary>
    Done,
}

/// <summary>Who does a piece of work, over all replicas. Holds hashes only, for minutes; survives nothing by promise.</summary>
/// <remarks>
/// Claiming again with the same owner is the same claim: so a caller whose answer was lost asks again, and never loses to itself.
/// Every method throws <see cref="IOException"/> when the server cannot be asked.
/// </remarks>
public interface IClaimLedger : IAsyncDisposable
{
    /// <summary>True while the server can be asked.</summary>
    bool IsConnected { get; }

    /// <summary>Claims for as long as <paramref name="lease"/>: the claim of an owner that dies ends then.</summary>
    /// <param name="hash">What.</param>
    /// <param name="owner">Random, one a claim.</param>
    /// <param name="lease">How long the work may take.</param>
    /// <param name="cancel">Gives up waiting, not the claim.</param>
    ValueTask<ClaimAnswer> ClaimAsync(Bytes32 hash, Bytes32 owner, TimeSpan lease, CancellationToken cancel);

    /// <summary>The work is done: nobody gets it for <paramref name="window"/>.</summary>
    ValueTask CompleteAsync(Bytes32 hash, Bytes32 owner, TimeSpan window, CancellationToken cancel);

    /// <summary>The work was not done: the next may have it. Nothing when it is not this owner's.</summary>
    ValueTask ReleaseAsync(Bytes32 hash, Bytes32 owner, CancellationToken cancel);
}

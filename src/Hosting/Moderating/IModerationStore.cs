namespace Marmot.Hosting.Moderating;

/// <summary>Where the operator's decisions lie: a file of one machine, or a row that all replicas share.</summary>
public interface IModerationStore
{
    /// <summary>What stands, and its version; -1 while that cannot be known yet.</summary>
    /// <exception cref="IOException">It cannot be read.</exception>
    ValueTask<(long Version, ModerationState State)> ReadAsync(CancellationToken cancel);

    /// <summary>Replaces the decisions of a version by those of the next; false when somebody else has replaced them.</summary>
    /// <exception cref="IOException">They could not be written; the old ones hold.</exception>
    ValueTask<bool> TryReplaceAsync(long version, ModerationState state, CancellationToken cancel);
}

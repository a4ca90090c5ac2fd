using Marmot.Protocol.Encoding;

namespace Marmot.NotifyServer.Triggers;

/// <summary>What became of a claim on a trigger's content.</summary>
internal enum ClaimOutcome
{
    /// <summary>Ours to do; must be completed or released.</summary>
    Owned,

    /// <summary>Done already, here or by another replica.</summary>
    Duplicate,

    /// <summary>No room for another claim now; the trigger may be sent again.</summary>
    Full,
}

/// <summary>Who does a trigger, over all replicas. Holds hashes only, for minutes.</summary>
internal interface IClaimStore
{
    /// <summary>Claims the content; waits while another holds it.</summary>
    ValueTask<ClaimOutcome> ClaimAsync(Bytes32 content, CancellationToken cancellationToken);

    /// <summary>The trigger is done: repeats are duplicates for the replay window.</summary>
    void Complete(in Bytes32 content);

    /// <summary>The trigger was not done: the next that comes may.</summary>
    void Release(in Bytes32 content);
}

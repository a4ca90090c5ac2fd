using Marmot.Mls.Groups;

namespace Marmot.Client.Groups;

/// <summary>
/// Fresh keys for a group whose ratchets may have been used further than this store knows: first a look at the relays, then a commit with a path, whose epoch
/// the store that went on elsewhere cannot have seen. Until it is in force nothing is sealed for the group.
/// </summary>
internal sealed class KeyRenewal(GroupSessions sessions, GroupSync sync, CommitPublisher commits)
{
    /// <summary>Makes sure that a group may be sent to. Outside the gate.</summary>
    /// <exception cref="ClientException">No relay took the commit, or the group's own commit still waits; nothing was sent.</exception>
    public async Task EnsureAsync(string groupId, CancellationToken cancellationToken)
    {
        if (!sessions.Require(groupId).NeedsFreshKeys)
        {
            return;
        }

        await sync.SyncAsync(groupId, cancellationToken: cancellationToken);
        using var gate = await sessions.EnterAsync(cancellationToken);
        var session = sessions.Require(groupId);
        if (session.NeedsFreshKeys)
        {
            await commits.CommitAsync(session, new CommitRequest { ForcePath = true, IncludePending = (_, _) => false }, [], cancellationToken);
        }
    }
}

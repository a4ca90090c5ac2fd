using Marmot.Client.Groups;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Client;

/// <summary>A group joined by a Welcome.</summary>
/// <param name="State">The group.</param>
/// <param name="Welcome">The Welcome's inner event; its author is the admin who invited.</param>
/// <param name="WrapId">The gift wrap that carried it.</param>
public sealed record JoinedGroup(GroupState State, Rumor Welcome, Bytes32 WrapId);

/// <summary>A Welcome that was not followed.</summary>
/// <param name="WrapId">The gift wrap.</param>
/// <param name="Reason">Why; never content.</param>
public sealed record FailedWelcome(Bytes32 WrapId, string Reason);

/// <summary>What a look into the inbox brought.</summary>
/// <param name="Joined">Groups joined.</param>
/// <param name="Failed">Welcomes refused.</param>
public sealed record JoinReport(IReadOnlyList<JoinedGroup> Joined, IReadOnlyList<FailedWelcome> Failed)
{
    /// <summary>Inbox relays that could not be asked to the end, with the reason.</summary>
    public IReadOnlyList<string> Unreachable { get; init; } = [];
}

using Marmot.Mls.Messages;

namespace Marmot.Mls.Groups;

/// <summary>Where a private message says it comes from (RFC 9420, 6.3.2); not verified.</summary>
/// <param name="Leaf">The sender's leaf index.</param>
/// <param name="Generation">Which key of the sender's ratchet it uses; one ratchet for application data, one for proposals and commits.</param>
public readonly record struct MessageSender(int Leaf, uint Generation);

/// <summary>A message of the group that was opened and verified (RFC 9420, 6): one of the three types below. Immutable.</summary>
public abstract record Received;

/// <summary>Application data.</summary>
/// <param name="SenderLeaf">The sender's leaf index.</param>
/// <param name="Sender">The sender's leaf in the epoch of the message.</param>
/// <param name="Data">The data.</param>
/// <param name="AuthenticatedData">Data that was authenticated but not encrypted.</param>
/// <param name="Epoch">The epoch of the message.</param>
public sealed record ReceivedApplication(int SenderLeaf, LeafNode Sender, byte[] Data, byte[] AuthenticatedData, ulong Epoch) : Received;

/// <summary>A proposal; it is kept and a commit may refer to it.</summary>
/// <param name="Sender">Who proposes.</param>
/// <param name="Proposal">What.</param>
/// <param name="Reference">Its reference.</param>
public sealed record ReceivedProposal(Sender Sender, Proposal Proposal, byte[] Reference) : Received;

/// <summary>A commit that passed every check and waits to be merged.</summary>
/// <param name="Commit">The staged commit.</param>
public sealed record ReceivedCommit(StagedCommit Commit) : Received;

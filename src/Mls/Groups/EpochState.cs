using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Messages;
using Marmot.Mls.Schedule;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Groups;

/// <summary>A proposal that was received or sent in this epoch and may be committed by reference.</summary>
internal sealed record PendingProposal(byte[] Reference, Proposal Proposal, Sender Sender, SecretBytes? OwnUpdateKey);

/// <summary>Everything one member knows of one epoch. A commit makes a new one; the old one stays as it was until it is stripped or wiped.</summary>
internal sealed class EpochState
{
    public required GroupContext Context { get; init; }
    public required RatchetTree Tree { get; init; }
    public required TreeKeys Keys { get; init; }
    public required EpochSecrets Secrets { get; init; }
    public required SecretTree SecretTree { get; init; }
    public required byte[] InterimHash { get; init; }
    public required byte[] ConfirmationTag { get; init; }
    public List<PendingProposal> Proposals { get; init; } = [];

    /// <summary>Set by a committed ReInit: nothing more may happen in the group.</summary>
    public ReInitProposal? ReInit { get; init; }

    /// <summary>When the epoch ended, as the caller told, in seconds since 1970.</summary>
    public long EndedAt { get; set; }

    /// <summary>
    /// Sender and generation of the private commit that ended the epoch. Its key is kept until the rollback window closes: after a crash before the merge, or
    /// when the winner of a race turns out invalid, the same commit must open again.
    /// </summary>
    public (uint Leaf, uint Generation)? EndedBy { get; set; }

    /// <summary>True once only what reads late application messages is left.</summary>
    public bool IsStripped { get; private set; }

    public CipherSuite Suite => Context.Suite;
    public int OwnLeaf => Keys.Leaf;

    public static EpochState Create(GroupContext context, RatchetTree tree, TreeKeys keys, EpochSecrets secrets, byte[] confirmationTag,
        ReInitProposal? reInit = null) => new()
        {
            Context = context,
            Tree = tree,
            Keys = keys,
            Secrets = secrets,
            SecretTree = new SecretTree(context.Suite, tree.LeafCount, secrets.Encryption),
            InterimHash = TranscriptHash.Interim(context.Suite, context.ConfirmedTranscriptHash, confirmationTag),
            ConfirmationTag = confirmationTag,
            ReInit = reInit,
        };

    public PendingProposal? FindProposal(ReadOnlySpan<byte> reference)
    {
        foreach (var pending in Proposals)
        {
            if (reference.SequenceEqual(pending.Reference)) return pending;
        }
        return null;
    }

    /// <summary>Keeps what opens late application messages, exports and serves as resumption PSK; wipes the rest. Private keys the newer epoch still uses
    /// stay.</summary>
    public void Strip(EpochState newer)
    {
        if (IsStripped) return;
        IsStripped = true;
        if (EndedBy is { } used) SecretTree.Use((int)used.Leaf, application: false, used.Generation);
        EndedBy = null;
        Secrets.WipeHandshake();
        Keys.WipeBut(newer.Keys);
        Tree.KeepLeavesOnly();
        ClearProposals();
    }

    private void ClearProposals()
    {
        foreach (var pending in Proposals) pending.OwnUpdateKey?.Dispose();
        Proposals.Clear();
    }

    /// <summary>Wipes all secrets except private keys that <paramref name="survivor"/> shares.</summary>
    public void Wipe(EpochState? survivor)
    {
        Secrets.Wipe();
        SecretTree.Wipe();
        Keys.WipeBut(survivor?.Keys);
        ClearProposals();
    }

    /// <summary>The tree is written whole, or as what differs from the tree of <paramref name="reference"/>: the next newer epoch for a past one, the current
    /// one for a staged commit.</summary>
    public void Write(TlsWriter writer, EpochState? reference)
    {
        writer.WriteByte(IsStripped ? (byte)1 : (byte)0);
        writer.WriteUInt64((ulong)EndedAt);
        writer.WriteByte(EndedBy is null ? (byte)0 : (byte)1);
        if (EndedBy is { } used)
        {
            writer.WriteUInt32(used.Leaf);
            writer.WriteUInt32(used.Generation);
        }
        Context.Write(writer);
        if (reference is null) Tree.Write(writer);
        else Tree.WriteChanges(writer, reference.Tree, withParents: !IsStripped);
        writer.WriteUInt32((uint)Keys.Leaf);
        var start = writer.BeginVector();
        foreach (var (node, key) in Keys.ByNode.OrderBy(k => k.Key))
        {
            writer.WriteUInt32((uint)node);
            writer.WriteSecret(key);
        }
        writer.EndVector(start);
        Secrets.Write(writer);
        SecretTree.Write(writer);
        writer.WriteOpaque(InterimHash);
        writer.WriteOpaque(ConfirmationTag);
        start = writer.BeginVector();
        foreach (var pending in Proposals)
        {
            writer.WriteOpaque(pending.Reference);
            pending.Proposal.Write(writer);
            pending.Sender.Write(writer);
            writer.WriteSecret(pending.OwnUpdateKey);
        }
        writer.EndVector(start);
        writer.WriteOptional(ReInit);
    }

    public static EpochState Read(ref TlsReader reader, EpochState? reference)
    {
        var stripped = reader.ReadPresence();
        var endedAt = (long)reader.ReadUInt64();
        (uint, uint)? endedBy = reader.ReadPresence() ? (reader.ReadUInt32(), reader.ReadUInt32()) : null;
        var context = GroupContext.Read(ref reader);
        var tree = reference is null
            ? RatchetTree.ReadStored(context.Suite, ref reader)
            : RatchetTree.ReadChanges(ref reader, reference.Tree, withParents: !stripped);
        var keys = new TreeKeys { Leaf = (int)reader.ReadUInt32() };
        for (var body = reader.ReadVector(); body.Remaining > 0;) keys.ByNode[(int)body.ReadUInt32()] = body.ReadSecret();
        MlsException.ThrowIf(keys.Leaf < 0 || tree.Leaf(keys.Leaf) is null, MlsError.BadState);
        var secrets = EpochSecrets.Read(ref reader);
        var secretTree = SecretTree.Read(context.Suite, ref reader);
        var interim = reader.ReadBytes();
        var tag = reader.ReadBytes();
        var proposals = new List<PendingProposal>();
        for (var body = reader.ReadVector(); body.Remaining > 0;)
        {
            proposals.Add(
                new PendingProposal(body.ReadBytes(), Proposal.Read(ref body), Sender.Read(ref body), body.ReadSecret() is { Length: > 0 } key ? key : null));
        }
        var reInit = reader.ReadPresence() ? Proposal.Read(ref reader) as ReInitProposal ?? throw new MlsException(MlsError.BadState) : null;
        return new EpochState
        {
            Context = context,
            Tree = tree,
            Keys = keys,
            Secrets = secrets,
            SecretTree = secretTree,
            InterimHash = interim,
            ConfirmationTag = tag,
            Proposals = proposals,
            ReInit = reInit,
            EndedAt = endedAt,
            EndedBy = endedBy,
            IsStripped = stripped,
        };
    }
}

using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Framing;
using Marmot.Mls.Messages;
using Marmot.Mls.Schedule;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Groups;

/// <summary>
/// One client's view of one MLS group (RFC 9420). Sending and receiving change it; store <see cref="Serialize"/> before anything that came out leaves the process.
/// Refusals throw <see cref="MlsException"/> (or come as <see cref="MlsError"/> from the Try methods) and leave the group as it was. Not thread-safe: one owner.
/// </summary>
public sealed partial class Group : IDisposable
{
    private EpochState _epoch;
    private readonly List<EpochState> _past = []; // newest last; the newest may be whole, so that one epoch can be rolled back
    private StagedCommit? _staged;
    private bool _closed;
    private readonly SecretBytes _signatureKey; // prepared for signing
    private readonly GroupRules _rules;

    private Group(EpochState epoch, SecretBytes signatureKey, GroupRules rules) => (_epoch, _signatureKey, _rules) = (epoch, signatureKey, rules);

    /// <summary>The group id.</summary>
    public ReadOnlyMemory<byte> GroupId => _epoch.Context.GroupId;

    /// <summary>The current epoch.</summary>
    public ulong Epoch => _epoch.Context.Epoch;

    /// <summary>The cipher suite.</summary>
    public CipherSuite Suite => _epoch.Suite;

    /// <summary>This client's leaf index.</summary>
    public int OwnLeaf => _epoch.OwnLeaf;

    /// <summary>The members, by leaf index.</summary>
    public IReadOnlyList<Member> Members => [.. _epoch.Tree.Members.Select(m => new Member(m.Index, m.Leaf))];

    /// <summary>The group context's extensions.</summary>
    public IReadOnlyList<Extension> Extensions => _epoch.Context.Extensions;

    /// <summary>True when this client was removed or the group was reinitialised.</summary>
    public bool IsClosed => _closed || _epoch.ReInit is not null;

    /// <summary>The commit that waits for <see cref="Merge"/> or <see cref="Discard"/>, if it is an own one.</summary>
    public StagedCommit? PendingCommit => _staged;

    /// <summary>Proposals of this epoch not yet committed.</summary>
    public IReadOnlyList<(Sender Sender, Proposal Proposal)> PendingProposals => [.. _epoch.Proposals.Select(p => (p.Sender, p.Proposal))];

    /// <summary>epoch_authenticator (RFC 9420, 8.7): equal for all members that agree.</summary>
    public byte[] EpochAuthenticator => _epoch.Secrets.Authenticator.ToArray();

    /// <summary>The tree hash of the current epoch.</summary>
    public byte[] TreeHash => [.. _epoch.Context.TreeHash];

    internal EpochState Current => _epoch;

    /// <summary>A member's leaf, or null.</summary>
    public LeafNode? Leaf(int index) => _epoch.Tree.Leaf(index);

    /// <summary>Creates a group of one in epoch 0 (RFC 9420, 11). The keys' leaf becomes the first member; the signature key is copied.</summary>
    public static Group Create(byte[] groupId, KeyPackageSecrets creator, Extension[] extensions, GroupRules? rules = null)
    {
        var suite = CipherSuite.Get(creator.KeyPackage.CipherSuite);
        Extension.RefuseDuplicates(extensions);
        LeafRules.CheckInGroup(creator.KeyPackage.Leaf, new ContextRules(extensions));
        var tree = new RatchetTree(suite, creator.KeyPackage.Leaf);
        var context = new GroupContext { Suite = suite, GroupId = [.. groupId], Epoch = 0, TreeHash = tree.TreeHash(), ConfirmedTranscriptHash = [], Extensions = extensions };
        using var epochSecret = SecretBytes.Random(suite.HashLength);
        var secrets = EpochSecrets.FromEpochSecret(suite, epochSecret);
        var keys = new TreeKeys { Leaf = 0 };
        keys.ByNode[0] = creator.EncryptionPrivateKey.Clone();
        var epoch = EpochState.Create(context, tree, keys, secrets, suite.Mac(secrets.ConfirmationKey, context.ConfirmedTranscriptHash));
        return new Group(epoch, creator.SignaturePrivateKey.Clone(), rules ?? new GroupRules());
    }

    /// <summary>MLS-Exporter (RFC 9420, 8.5) of the current epoch or of a past one that is still kept.</summary>
    public byte[] Export(string label, ReadOnlySpan<byte> context, int length, ulong? epoch = null)
        => Suite.Export(StateOf(epoch ?? Epoch).Secrets.Exporter, label, context, length);

    /// <summary>The epochs whose exporter and application messages are at hand, newest first.</summary>
    public IReadOnlyList<ulong> KnownEpochs => [Epoch, .. Enumerable.Reverse(_past).Select(p => p.Context.Epoch)];

    private EpochState StateOf(ulong epoch) => epoch == Epoch ? _epoch : _past.Find(p => p.Context.Epoch == epoch) ?? throw new MlsException(MlsError.WrongEpoch);

    private void CheckOpen() => MlsException.ThrowIf(IsClosed, MlsError.GroupClosed);

    /// <summary>Encrypts application data (RFC 9420, 6.3). Uses one generation up: store the state before sending. Refused while proposals wait, unless told otherwise.</summary>
    public MlsMessage Protect(ReadOnlySpan<byte> data, byte[]? authenticatedData = null, int padTo = 0, bool evenWithPendingProposals = false)
    {
        CheckOpen();
        MlsException.ThrowIf(_epoch.Proposals.Count > 0 && !evenWithPendingProposals, MlsError.ProposalPending);
        var framed = Frame(ContentType.Application, authenticatedData, application: data.ToArray());
        return Send(Sign(framed, WireFormat.PrivateMessage), padTo);
    }

    private FramedContent Frame(ContentType type, byte[]? authenticatedData, byte[]? application = null, Proposal? proposal = null, Commit? commit = null) => new()
    {
        GroupId = _epoch.Context.GroupId,
        Epoch = Epoch,
        Sender = Sender.Member(OwnLeaf),
        AuthenticatedData = authenticatedData ?? [],
        ContentType = type,
        Application = application ?? [],
        Proposal = proposal,
        Commit = commit,
    };

    private AuthenticatedContent Sign(FramedContent framed, WireFormat format, byte[]? confirmationTag = null) => new()
    {
        WireFormat = format,
        Content = framed,
        Signature = AuthenticatedContent.Sign(Suite, format, framed, _epoch.Context.Encoded, _signatureKey),
        ConfirmationTag = confirmationTag,
    };

    private MlsMessage Send(AuthenticatedContent content, int padTo) => content.WireFormat == WireFormat.PublicMessage
        ? new MlsMessage(WireFormat.PublicMessage, MessageProtection.ProtectPublic(content, Suite, _epoch.Context.Encoded, _epoch.Secrets.MembershipKey))
        : new MlsMessage(WireFormat.PrivateMessage, MessageProtection.ProtectPrivate(content, Suite, _epoch.SecretTree, _epoch.Secrets.SenderData, padTo));

    /// <summary>Sends a proposal and keeps it as pending. A SelfRemove goes out as PublicMessage, as the Marmot profile wants it.</summary>
    public MlsMessage Propose(Proposal proposal, WireFormat format = WireFormat.PrivateMessage, byte[]? authenticatedData = null, int padTo = 0)
        => Propose(proposal, null, format, authenticatedData, padTo);

    /// <summary>Proposes to replace the own leaf with fresh keys (RFC 9420, 12.1.2).</summary>
    public MlsMessage ProposeUpdate(WireFormat format = WireFormat.PrivateMessage, int padTo = 0)
    {
        var pair = Suite.Kem.Generate();
        var old = _epoch.Tree.Leaf(OwnLeaf)!;
        var leaf = new LeafNode
        {
            EncryptionKey = pair.PublicKey,
            SignatureKey = old.SignatureKey,
            Credential = old.Credential,
            Capabilities = old.Capabilities,
            Source = LeafNodeSource.Update,
            Extensions = old.Extensions,
        }.Signed(Suite, _signatureKey, _epoch.Context.GroupId, OwnLeaf);
        return Propose(new UpdateProposal(leaf), pair.PrivateKey, format, null, padTo);
    }

    private MlsMessage Propose(Proposal proposal, SecretBytes? ownUpdateKey, WireFormat format, byte[]? authenticatedData, int padTo)
    {
        CheckOpen();
        if (proposal is SelfRemoveProposal) format = WireFormat.PublicMessage;
        CheckProposal(proposal, Sender.Member(OwnLeaf), now: null);
        var content = Sign(Frame(ContentType.Proposal, authenticatedData, proposal: proposal), format);
        _epoch.Proposals.Add(new PendingProposal(content.ProposalReference(Suite), proposal, content.Content.Sender, ownUpdateKey));
        return Send(content, padTo);
    }

    /// <summary>The GroupInfo of the current epoch, signed, with the tree and the key for external commits (RFC 9420, 12.4.3).</summary>
    public MlsMessage GroupInfo(bool withTree = true)
    {
        CheckOpen();
        var writer = new TlsWriter();
        using (var external = _epoch.Secrets.ExternalKeyPair(Suite)) writer.WriteOpaque(external.PublicKey);
        var externalPub = new Extension(ExtensionType.ExternalPub, writer.ToArray());
        return new MlsMessage(WireFormat.GroupInfo, GroupInfoOf(_epoch, withTree ? [TreeExtension(_epoch.Tree), externalPub] : [externalPub]));
    }

    private static Extension TreeExtension(RatchetTree tree) => new(ExtensionType.RatchetTree, tree.ToBytes());

    private GroupInfo GroupInfoOf(EpochState epoch, Extension[] extensions) => new GroupInfo
    {
        Context = epoch.Context,
        Extensions = extensions,
        ConfirmationTag = epoch.ConfirmationTag,
        Signer = (uint)epoch.OwnLeaf,
    }.Signed(_signatureKey);

    /// <summary>The ratchet tree as bytes, for joiners who get it outside the Welcome.</summary>
    public byte[] RatchetTreeBytes() => _epoch.Tree.ToBytes();

    /// <summary>Puts a staged commit in force. The state before is kept whole until the next merge or <see cref="ForgetRollback"/>. The time bounds how long the past epoch is kept.</summary>
    public void Merge(StagedCommit commit, DateTimeOffset? now = null)
    {
        MlsException.ThrowIf(!ReferenceEquals(commit.Before, _epoch) || (commit.IsOwn && !ReferenceEquals(commit, _staged)), MlsError.WrongState);
        if (!commit.IsOwn && _staged is not null) Discard(_staged);
        _staged = null;
        if (commit.Next is null)
        {
            _closed = true;
            WipeSecrets();
            return;
        }
        ForgetRollback();
        _epoch.EndedBy = commit.Generation is { } generation ? (commit.Sender.Index, generation) : null;
        _epoch.EndedAt = now?.ToUnixTimeSeconds() ?? 0;
        _past.Add(_epoch);
        _epoch = commit.Next;
        while (_past.Count > Math.Max(1, _rules.MaxPastEpochs)) DropOldest();
    }

    /// <summary>Throws a staged commit away and wipes its secrets. The current epoch goes on.</summary>
    public void Discard(StagedCommit commit)
    {
        if (ReferenceEquals(commit, _staged)) _staged = null;
        // A commit that was merged meanwhile is in force and cannot be discarded.
        MlsException.ThrowIf(ReferenceEquals(commit.Next, _epoch) || _past.Contains(commit.Next!), MlsError.WrongState);
        commit.Next?.Wipe(_epoch);
    }

    /// <summary>True when the last merge can be undone.</summary>
    public bool CanRollBack => !_closed && _past.Count > 0 && !_past[^1].IsStripped;

    /// <summary>Undoes the last merge: the commit that was merged lost a race. Its secrets are wiped.</summary>
    public bool TryRollBack()
    {
        if (!CanRollBack) return false;
        if (_staged is not null) Discard(_staged);
        var lost = _epoch;
        _epoch = _past[^1];
        _past.RemoveAt(_past.Count - 1);
        _epoch.EndedBy = null;
        lost.Wipe(_epoch);
        return true;
    }

    /// <summary>Gives up the chance to roll back: wipes what only it needed. Call when the race window has closed.</summary>
    public void ForgetRollback()
    {
        if (_past.Count > 0) _past[^1].Strip(_epoch);
    }

    /// <summary>Forgets past epochs that ended before this time.</summary>
    public void ForgetPastEpochs(DateTimeOffset endedBefore)
    {
        while (_past.Count > 0 && _past[0].EndedAt < endedBefore.ToUnixTimeSeconds()) DropOldest();
    }

    private void DropOldest()
    {
        _past[0].Wipe(_past.Count > 1 ? _past[1] : _epoch);
        _past.RemoveAt(0);
    }

    private void WipeSecrets()
    {
        _staged?.Next?.Wipe(_epoch);
        foreach (var past in _past) past.Wipe(null);
        _past.Clear();
        _epoch.Wipe(null);
        _signatureKey.Dispose();
    }

    /// <summary>Wipes every secret.</summary>
    public void Dispose()
    {
        if (!_closed) WipeSecrets();
        _closed = true;
    }
}

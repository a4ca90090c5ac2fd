using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Framing;
using Marmot.Mls.Messages;
using Marmot.Mls.Schedule;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Groups;

/// <summary>
/// One client's view of one MLS group (RFC 9420). Sending and receiving change it; store <see cref="Serialize"/> before anything that came out leaves the
/// process. Refusals throw <see cref="MlsException"/> (or come as <see cref="MlsError"/> from the Try methods) and leave the group as it was. Not thread-safe:
/// one owner.
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

    /// <summary>The group id, as the creator chose it; any length (RFC 9420, 8.1).</summary>
    public ReadOnlyMemory<byte> GroupId => _epoch.Context.GroupId;

    /// <summary>The current epoch; 0 at the creator, one more with each merged commit (RFC 9420, 8.1).</summary>
    public ulong Epoch => _epoch.Context.Epoch;

    /// <summary>The cipher suite.</summary>
    public CipherSuite Suite => _epoch.Suite;

    /// <summary>This client's leaf index, from 0; does not change while it is a member.</summary>
    public int OwnLeaf => _epoch.OwnLeaf;

    /// <summary>The members, by leaf index. A new list each time: O(n).</summary>
    public IReadOnlyList<Member> Members => [.. _epoch.Tree.Members.Select(m => new Member(m.Index, m.Leaf))];

    /// <summary>The group context's extensions.</summary>
    public IReadOnlyList<Extension> Extensions => _epoch.Context.Extensions;

    /// <summary>True when this client was removed or the group was reinitialised.</summary>
    public bool IsClosed => _closed || _epoch.ReInit is not null;

    /// <summary>The commit that waits for <see cref="Merge"/> or <see cref="Discard"/>, if it is an own one.</summary>
    public StagedCommit? PendingCommit => _staged;

    /// <summary>Proposals of this epoch not yet committed.</summary>
    public IReadOnlyList<(Sender Sender, Proposal Proposal)> PendingProposals => [.. _epoch.Proposals.Select(p => (p.Sender, p.Proposal))];

    /// <summary>epoch_authenticator (RFC 9420, 8.7): equal for all members that agree; Nh bytes, a copy. Throws <see cref="MlsError.GroupClosed"/> once the
    /// secrets are wiped.</summary>
    public byte[] EpochAuthenticator
    {
        get
        {
            MlsException.ThrowIf(_closed, MlsError.GroupClosed);
            return _epoch.Secrets.Authenticator.ToArray();
        }
    }

    /// <summary>The tree hash of the current epoch (RFC 9420, 7.8); Nh bytes, a copy.</summary>
    public byte[] TreeHash => [.. _epoch.Context.TreeHash];

    /// <summary>
    /// Leaf index of the member whose signature is on the Welcome, after <see cref="Join"/>; null otherwise and after <see cref="TryRestore"/>.
    /// </summary>
    public int? WelcomeSigner { get; private init; }

    internal EpochState Current => _epoch;

    /// <summary>A member's leaf, or null.</summary>
    public LeafNode? Leaf(int index) => _epoch.Tree.Leaf(index);

    /// <summary>Creates a group of one in epoch 0 (RFC 9420, 11). The keys' leaf becomes the first member; its private keys are copied, so the key package may
    /// be disposed.</summary>
    /// <param name="groupId">Unique among the groups of its members; copied.</param>
    /// <param name="creator">Key package with secrets; its suite is the group's.</param>
    /// <param name="extensions">Extensions of the group context, such as required capabilities; the creator must support them.</param>
    /// <param name="rules">Rules of the application; null takes the defaults.</param>
    /// <exception cref="MlsException">The creator does not support an extension, or a type occurs twice.</exception>
    public static Group Create(byte[] groupId, KeyPackageSecrets creator, Extension[] extensions, GroupRules? rules = null)
    {
        var suite = CipherSuite.Get(creator.KeyPackage.CipherSuite);
        Extension.RefuseDuplicates(extensions);
        ExternalSender.Check(extensions, suite);
        LeafRules.CheckInGroup(creator.KeyPackage.Leaf, new ContextRules(extensions));
        var tree = new RatchetTree(suite, creator.KeyPackage.Leaf);
        var context = new GroupContext
        {
            Suite = suite,
            GroupId = [.. groupId],
            Epoch = 0,
            TreeHash = tree.TreeHash(),
            ConfirmedTranscriptHash = [],
            Extensions = extensions,
        };
        using var epochSecret = SecretBytes.Random(suite.HashLength);
        var secrets = EpochSecrets.FromEpochSecret(suite, epochSecret);
        var keys = new TreeKeys { Leaf = 0 };
        keys.ByNode[0] = creator.EncryptionPrivateKey.Clone();
        var epoch = EpochState.Create(context, tree, keys, secrets, suite.Mac(secrets.ConfirmationKey, context.ConfirmedTranscriptHash));
        return new Group(epoch, creator.SignaturePrivateKey.Clone(), rules ?? new GroupRules());
    }

    /// <summary>MLS-Exporter (RFC 9420, 8.5) of the current epoch or of a past one that is still kept. What comes out is the caller's to wipe.</summary>
    /// <param name="label">Label, in UTF-8 on the wire.</param>
    /// <param name="context">Context; any length.</param>
    /// <param name="length">Bytes wanted; at most 255 times the suite's hash length.</param>
    /// <param name="epoch">One of <see cref="KnownEpochs"/>; null is the current one.</param>
    /// <exception cref="MlsException"><see cref="MlsError.WrongEpoch"/> when the epoch is not kept, <see cref="MlsError.GroupClosed"/> once the secrets are
    /// wiped.</exception>
    public byte[] Export(string label, ReadOnlySpan<byte> context, int length, ulong? epoch = null)
    {
        MlsException.ThrowIf(_closed, MlsError.GroupClosed);
        return Suite.Export(StateOf(epoch ?? Epoch).Secrets.Exporter, label, context, length);
    }

    /// <summary>The epochs whose exporter and application messages are at hand, newest first.</summary>
    public IReadOnlyList<ulong> KnownEpochs => [Epoch, .. Enumerable.Reverse(_past).Select(p => p.Context.Epoch)];

    private EpochState StateOf(ulong epoch) => FindState(epoch) ?? throw new MlsException(MlsError.WrongEpoch);

    private EpochState? FindState(ulong epoch) => epoch == Epoch ? _epoch : _past.Find(p => p.Context.Epoch == epoch);

    private void CheckOpen() => MlsException.ThrowIf(IsClosed, MlsError.GroupClosed);

    /// <summary>Encrypts application data as a PrivateMessage (RFC 9420, 6.3). Uses one generation up: store the state before sending.</summary>
    /// <param name="data">The data; the message is about 150 bytes longer.</param>
    /// <param name="authenticatedData">Authenticated, not encrypted, seen by everyone who carries the message.</param>
    /// <param name="padTo">Pads the content with zeros to a multiple of this many bytes; 0 or 1 does not pad (6.3.1).</param>
    /// <param name="evenWithPendingProposals">False refuses while proposals wait for their commit (12.4).</param>
    /// <exception cref="MlsException"><see cref="MlsError.GroupClosed"/> or <see cref="MlsError.ProposalPending"/>.</exception>
    public MlsMessage Protect(ReadOnlySpan<byte> data, byte[]? authenticatedData = null, int padTo = 0, bool evenWithPendingProposals = false)
    {
        CheckOpen();
        MlsException.ThrowIf(_epoch.Proposals.Count > 0 && !evenWithPendingProposals, MlsError.ProposalPending);
        var framed = Frame(ContentType.Application, authenticatedData, application: data.ToArray());
        return Send(Sign(framed, WireFormat.PrivateMessage), padTo);
    }

    private FramedContent Frame(ContentType type, byte[]? authenticatedData, byte[]? application = null, Proposal? proposal = null, Commit? commit = null) =>
        new()
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

    /// <summary>Sends a proposal and keeps it as pending (RFC 9420, 12.1). A SelfRemove goes out as PublicMessage, as the Marmot profile wants it.</summary>
    /// <param name="proposal">What to propose; checked on its own, the list of a commit is checked when it is committed.</param>
    /// <param name="format">PrivateMessage or PublicMessage.</param>
    /// <param name="authenticatedData">Authenticated, not encrypted.</param>
    /// <param name="padTo">Pads the content of a PrivateMessage to a multiple of this many bytes.</param>
    /// <exception cref="MlsException">The rule that the proposal breaks; nothing has changed.</exception>
    public MlsMessage Propose(Proposal proposal, WireFormat format = WireFormat.PrivateMessage, byte[]? authenticatedData = null, int padTo = 0)
        => Propose(proposal, null, format, authenticatedData, padTo);

    /// <summary>Proposes to replace the own leaf with fresh keys (RFC 9420, 12.1.2). Another member must commit it; the private key is kept with the pending
    /// proposal.</summary>
    /// <param name="format">PrivateMessage or PublicMessage.</param>
    /// <param name="padTo">Pads the content of a PrivateMessage to a multiple of this many bytes.</param>
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
        CheckRoom(_epoch, Sender.Member(OwnLeaf));
        CheckProposal(proposal, Sender.Member(OwnLeaf), now: null);
        var content = Sign(Frame(ContentType.Proposal, authenticatedData, proposal: proposal), format);
        _epoch.Proposals.Add(new PendingProposal(content.ProposalReference(Suite), proposal, content.Content.Sender, ownUpdateKey));
        return Send(content, padTo);
    }

    /// <summary>
    /// The GroupInfo of the current epoch, signed, with the key for external commits and on demand the tree (RFC 9420, 12.4.3): O(n) bytes. Whoever has it can
    /// join by <see cref="JoinExternally"/>.
    /// </summary>
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

    /// <summary>
    /// Puts a staged commit in force. The state before is kept whole until the next merge or <see cref="ForgetRollback"/>. A commit that removes this client
    /// closes the group and wipes every secret.
    /// </summary>
    /// <param name="commit">Of the current epoch, from <see cref="Commit"/> or <see cref="Process"/> of this object.</param>
    /// <param name="now">When the past epoch ended, for <see cref="ForgetPastEpochs"/>; null counts as 1970.</param>
    /// <exception cref="MlsException"><see cref="MlsError.WrongState"/> when the commit is of another epoch or was merged or discarded.</exception>
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

    /// <summary>Throws a staged commit away and wipes its secrets. The current epoch goes on; a received commit may be processed again.</summary>
    /// <exception cref="MlsException"><see cref="MlsError.WrongState"/> when it is in force.</exception>
    public void Discard(StagedCommit commit)
    {
        if (ReferenceEquals(commit, _staged)) _staged = null;
        // A commit that was merged meanwhile is in force and cannot be discarded.
        MlsException.ThrowIf(ReferenceEquals(commit.Next, _epoch) || _past.Contains(commit.Next!), MlsError.WrongState);
        commit.Next?.Wipe(_epoch);
    }

    /// <summary>True when the last merge can be undone.</summary>
    public bool CanRollBack => !_closed && _past.Count > 0 && !_past[^1].IsStripped;

    /// <summary>Undoes the last merge: the commit that was merged lost a race. Its secrets are wiped. False when <see cref="CanRollBack"/> is; messages sent in
    /// the lost epoch are lost.</summary>
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

    /// <summary>Forgets past epochs that ended before this time, as told to <see cref="Merge"/> (whole seconds). Their late messages and exports are gone, and
    /// so is the chance to roll back to them.</summary>
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

    /// <summary>Wipes every secret at once; the group is closed afterwards. Secrets of a group that is only dropped are wiped some time after the garbage
    /// collector has found it.</summary>
    public void Dispose()
    {
        if (!_closed) WipeSecrets();
        _closed = true;
    }
}

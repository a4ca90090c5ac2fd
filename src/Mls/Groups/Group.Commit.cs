using System.Security.Cryptography;
using Marmot.Mls.Codec;
using Marmot.Mls.Crypto;
using Marmot.Mls.Framing;
using Marmot.Mls.Messages;
using Marmot.Mls.Schedule;
using Marmot.Mls.Tree;

namespace Marmot.Mls.Groups;

/// <summary>What a commit shall do (RFC 9420, 12.4). Without anything it is an empty commit, which renews the own keys.</summary>
public sealed class CommitRequest
{
    /// <summary>Proposals by value, after the pending ones.</summary>
    public IReadOnlyList<Proposal> Proposals { get; init; } = [];

    /// <summary>
    /// Which pending proposals go in by reference; if they cannot be committed together the commit is refused. Null takes all that can: every valid one but own
    /// Updates, and of those that exclude each other one, a Remove rather than an Update, the last Update, the first of others (RFC 9420, 12.4).
    /// </summary>
    public Func<Sender, Proposal, bool>? IncludePending { get; init; }

    /// <summary>
    /// The same by the ProposalRefs that <see cref="ReceivedProposal"/> gave, where one sender has made the same proposal twice; goes before <see
    /// cref="IncludePending"/>.
    /// </summary>
    public IReadOnlyCollection<byte[]>? IncludeReferences { get; init; }

    /// <summary>Renew the own keys even when the proposals do not require it.</summary>
    public bool ForcePath { get; init; }

    /// <summary>PrivateMessage or PublicMessage.</summary>
    public WireFormat Format { get; init; } = WireFormat.PrivateMessage;

    /// <summary>Authenticated, not encrypted.</summary>
    public byte[]? AuthenticatedData { get; init; }

    /// <summary>Pads the content of a PrivateMessage to a multiple of this many bytes; 0 or 1 does not pad.</summary>
    public int PadTo { get; init; }

    /// <summary>False leaves the tree out of the Welcome; joiners must get it elsewhere.</summary>
    public bool TreeInWelcome { get; init; } = true;

    /// <summary>Time to check the lifetime of added key packages against; null does not check.</summary>
    public DateTimeOffset? Now { get; init; }

    /// <summary>The group this one continues (after ReInit) or branches off; only for the first commit.</summary>
    public Group? Predecessor { get; init; }
}

public sealed partial class Group
{
    /// <summary>
    /// Makes a commit (RFC 9420, 12.4.1) and stages it. Store the state, publish the message, then <see cref="Merge"/> or <see cref="Discard"/>. One at a time.
    /// Uses one generation up, as every private message does.
    /// </summary>
    /// <exception cref="MlsException">The rule that the list of proposals breaks, <see cref="MlsError.WrongState"/> when another own commit is staged,
    /// <see cref="MlsError.GroupClosed"/>.</exception>
    public StagedCommit Commit(CommitRequest? request = null)
    {
        request ??= new CommitRequest();
        CheckOpen();
        MlsException.ThrowIf(_staged is not null, MlsError.WrongState);

        // 1. Which proposals; validate, apply to a copy of the tree.
        var values = new List<Proposal>(request.Proposals);
        var usage = ResumptionUsage.Application;
        if (request.Predecessor is { } predecessor)
        {
            MlsException.ThrowIf(Epoch != 0, MlsError.WrongState);
            MlsException.ThrowIf(predecessor._closed, MlsError.GroupClosed);
            usage = predecessor._epoch.ReInit is null ? ResumptionUsage.Branch : ResumptionUsage.ReInit;
            values.Insert(0,
                new PreSharedKeyProposal(
                    PreSharedKeyId.Resumption(usage, predecessor._epoch.Context.GroupId, predecessor.Epoch, RandomNumberGenerator.GetBytes(Suite.HashLength))));
        }
        var pending = Choose(values, request, usage);
        var committed = Together(pending, values);
        using var list = ProposalList.Apply(_epoch, OwnLeaf, committed, _rules, request.Now, usage, forWelcome: true);
        if (request.Predecessor is { } old) CheckSuccession(old, usage, old.Epoch, Suite, GroupId.Span, list.Extensions, list.Tree);

        // 2. PSKs; own keys of nodes that the proposals left alone.
        using var pskSecret = PskSecretOf(list.Psks, _epoch, request.Predecessor);
        var keys = _epoch.Keys.Clone();
        keys.Prune(list.Tree, _epoch.Tree);

        // 3. Path, parent hashes, leaf, tree hash, provisional context, encryption: in that order inside.
        using var path = list.NeedsPath || request.ForcePath ? PathOf(list, keys) : null;

        // 4. Sign with the old context, hash, derive the new epoch.
        ProposalOrRef[] wire = [.. pending.Select(p => new ProposalOrRef(null, p.Reference)), .. values.Select(p => new ProposalOrRef(p, null))];
        var commit = new Commit(wire, path?.Path);
        var framed = Frame(ContentType.Commit, request.AuthenticatedData, commit: commit);
        var signature = AuthenticatedContent.Sign(Suite, request.Format, framed, _epoch.Context.Encoded, _signatureKey);
        var (next, joiner) = Advance(_epoch, list, path?.Keys ?? keys, path?.CommitSecret, _epoch.Secrets.Init, pskSecret, request.Format, framed,
            signature, null);

        // 5. Protect with the old keys; Welcome for the new members.
        var content = new AuthenticatedContent { WireFormat = request.Format, Content = framed, Signature = signature, ConfirmationTag = next.ConfirmationTag };
        var message = Send(content, request.PadTo);
        var welcome = list.Added.Count == 0 ? null : WelcomeOf(next, list, path, joiner, pskSecret, request.TreeInWelcome);
        joiner.Dispose();
        return _staged = new StagedCommit(_epoch, next, Sender.Member(OwnLeaf), OwnLeaf, path is not null, [.. list.Added.Select(a => a.Leaf)],
            [.. list.Removed], [.. list.Updated])
        {
            Message = message,
            Welcome = welcome,
            Proposals = [.. committed.Select(c => (c.Proposal, c.Sender))],
        };
    }

    private CreatedPath PathOf(ProposalList list, TreeKeys keys)
        => TreeKem.Create(list.Tree, OwnLeaf, _epoch.Tree.Leaf(OwnLeaf)!, _signatureKey, _epoch.Context.GroupId, keys, list.NewLeaves,
            treeHash => _epoch.Context.With(Epoch + 1, treeHash, _epoch.Context.ConfirmedTranscriptHash, list.Extensions).Encoded);

    /// <summary>Derives the next epoch; with a received confirmation tag it must match.</summary>
    private static (EpochState Next, SecretBytes Joiner) Advance(EpochState before, ProposalList list, TreeKeys keys, SecretBytes? commitSecret,
        SecretBytes initSecret, SecretBytes pskSecret, WireFormat format, FramedContent framed, byte[] signature, byte[]? receivedTag)
    {
        var suite = before.Suite;
        var confirmed = TranscriptHash.Confirmed(suite, before.InterimHash, format, framed, signature);
        var context = before.Context.With(before.Context.Epoch + 1, list.Tree.TreeHash(), confirmed, list.Extensions);
        var joiner = EpochSecrets.Joiner(suite, initSecret, commitSecret is null ? new byte[suite.HashLength] : commitSecret, context.Encoded);
        var secrets = EpochSecrets.FromJoiner(suite, joiner, pskSecret, context.Encoded);
        var tag = suite.Mac(secrets.ConfirmationKey, confirmed);
        if (receivedTag is not null && !CryptographicOperations.FixedTimeEquals(tag, receivedTag))
        {
            secrets.Wipe();
            joiner.Dispose();
            throw new MlsException(MlsError.BadConfirmationTag);
        }
        return (EpochState.Create(context, list.Tree, keys, secrets, tag, list.ReInit), joiner);
    }

    private MlsMessage WelcomeOf(EpochState next, ProposalList list, CreatedPath? path, SecretBytes joiner, SecretBytes pskSecret, bool withTree)
    {
        using var key = WelcomeKey(Suite, joiner, pskSecret);
        var info = GroupInfoOf(next, withTree ? [TreeExtension(next.Tree)] : []);
        var sealedInfo = Suite.Seal(key.Key, key.Nonce, default, TlsWriter.Encode(info, info.Size));

        // The encrypted GroupInfo is part of every recipient's HPKE info: hash it once.
        var infoHash = Suite.EncryptContext("Welcome"u8, sealedInfo);
        PreSharedKeyId[] psks = [.. list.Psks];
        var secrets = new EncryptedGroupSecrets[list.Added.Count];
        var writer = TlsWriter.ForSecrets(256);
        for (var i = 0; i < secrets.Length; i++)
        {
            var (leaf, package, sender) = list.Added[i];
            var pathSecret = path?.PathSecrets[TreeMath.CommonAncestor(OwnLeaf, leaf)];
            new GroupSecrets(joiner, pathSecret, psks).Write(writer); // not disposed: the secrets are not its own here
            secrets[i] = new EncryptedGroupSecrets(package.Reference(),
                new HpkeCiphertext(sender!.Enc, Suite.HpkeSeal(sender, infoHash, default, writer.Written)));
            writer.Wipe();
        }
        return new MlsMessage(WireFormat.Welcome, new Welcome(Suite.Id, secrets, sealedInfo));
    }

    private static MessageKey WelcomeKey(CipherSuite suite, SecretBytes joiner, SecretBytes pskSecret)
    {
        using var welcomeSecret = EpochSecrets.Welcome(suite, joiner, pskSecret);
        var material = new SecretBytes(suite.KeyLength + CipherSuite.NonceLength);
        suite.ExpandWithLabel(welcomeSecret, "key"u8, default, material.Span[..suite.KeyLength]);
        suite.ExpandWithLabel(welcomeSecret, "nonce"u8, default, material.Span[suite.KeyLength..]);
        return new MessageKey(material);
    }

    private SecretBytes PskSecretOf(List<PreSharedKeyId> ids, EpochState epoch, Group? predecessor)
        => PskSecret.Compute(epoch.Suite, [.. ids.Select(id => (id, FindPsk(id, _rules, this, predecessor)))]);

    /// <summary>A copy, for the caller to wipe.</summary>
    private static SecretBytes FindPsk(PreSharedKeyId id, GroupRules rules, Group? current, Group? predecessor)
    {
        if (id.IsExternal)
        {
            return SecretBytes.Copy(rules.ExternalPsk?.Invoke(id.Id) ?? throw new MlsException(new MlsRefusal(MlsError.BadPsk, MayResolve: true)));
        }

        foreach (var group in (Group?[])[current, predecessor])
        {
            if (group is null || group._closed || !id.GroupId.AsSpan().SequenceEqual(group._epoch.Context.GroupId)) continue;
            if (group.KnownEpochs.Contains(id.Epoch)) return group.StateOf(id.Epoch).Secrets.Resumption.Clone();
        }
        throw new MlsException(new MlsRefusal(MlsError.BadPsk, MayResolve: true));
    }
}

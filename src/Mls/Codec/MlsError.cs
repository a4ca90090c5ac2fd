namespace Marmot.Mls.Codec;

/// <summary>Why a message, tree, key package or request was refused. One name per rule of RFC 9420; docs/conformance/rfc9420.md has the list.</summary>
public enum MlsError
{
    /// <summary>No error.</summary>
    None = 0,
    /// <summary>The bytes are not the structure they should be: truncated, trailing bytes, bad varint, bad enum value (RFC 9420, 2).</summary>
    Malformed,
    /// <summary>A length exceeds what this library accepts.</summary>
    TooLarge,
    /// <summary>The cipher suite is not one of 1, 2, 3, 5, 7.</summary>
    UnsupportedCipherSuite,
    /// <summary>The protocol version is not mls10.</summary>
    UnsupportedVersion,
    /// <summary>A public key is not a point the suite accepts (RFC 9180, 7.1.4), a shared secret is zero, or a private key is out of range.</summary>
    InvalidKey,
    /// <summary>An AEAD or HPKE opening failed.</summary>
    DecryptionFailed,
    /// <summary>A signature does not verify (RFC 9420, 5.1.2).</summary>
    BadSignature,
    /// <summary>The membership tag of a PublicMessage is wrong (6.2).</summary>
    BadMembershipTag,
    /// <summary>The confirmation tag is wrong or missing (8.1).</summary>
    BadConfirmationTag,
    /// <summary>The message is for another group.</summary>
    WrongGroup,
    /// <summary>The message is for an epoch that is not (or no longer) known.</summary>
    WrongEpoch,
    /// <summary>The sender is no member, or this sender type may not send this (6).</summary>
    BadSender,
    /// <summary>This content may not travel in this wire format (6).</summary>
    WrongWireFormat,
    /// <summary>The padding of a PrivateMessage is not all zero (6.3.1).</summary>
    BadPadding,
    /// <summary>This generation was used already or fell out of the window (9).</summary>
    GenerationUsed,
    /// <summary>The generation lies further ahead than the library derives (9).</summary>
    GenerationTooFarAhead,
    /// <summary>The leaf's credential is not accepted by the application (5.3.1).</summary>
    CredentialRefused,
    /// <summary>The leaf's source does not match its place (7.3).</summary>
    WrongLeafSource,
    /// <summary>The leaf's capabilities do not cover what the group requires or its own extensions and credential (7.3).</summary>
    MissingCapability,
    /// <summary>The lifetime of the leaf does not contain the given time (7.2).</summary>
    LifetimeExpired,
    /// <summary>An encryption key or signature key occurs twice in the tree (7.3).</summary>
    DuplicateKey,
    /// <summary>An extension type occurs twice in a list (13.4).</summary>
    DuplicateExtension,
    /// <summary>The key package's version or suite is not the group's (10.1).</summary>
    KeyPackageMismatch,
    /// <summary>The init key of a key package equals its leaf's encryption key (10.1).</summary>
    InitKeyReused,
    /// <summary>An Update keeps the leaf's old encryption key (12.1.2).</summary>
    EncryptionKeyReused,
    /// <summary>A Remove names a blank or absent leaf (12.1.3).</summary>
    UnknownLeaf,
    /// <summary>A PSK is not known, has a bad nonce or a usage that is not allowed here (12.1.4).</summary>
    BadPsk,
    /// <summary>The ReInit's version is lower than the group's (12.1.5), or a successor is not what the ReInit says or lacks a member of the old group
    /// (11.2).</summary>
    BadReInit,
    /// <summary>The committer commits an Update of its own (12.2).</summary>
    UpdateByCommitter,
    /// <summary>The committer removes itself (12.2).</summary>
    RemoveOfCommitter,
    /// <summary>More than one Update or Remove for one leaf (12.2).</summary>
    LeafChangedTwice,
    /// <summary>Two Adds for one client, or an Add of a member (12.2).</summary>
    DuplicateMember,
    /// <summary>The same PSK id twice in a commit (12.2).</summary>
    DuplicatePsk,
    /// <summary>More than one GroupContextExtensions proposal (12.2).</summary>
    DuplicateGroupContextExtensions,
    /// <summary>ReInit together with another proposal (12.2).</summary>
    ReInitNotAlone,
    /// <summary>An ExternalInit outside an external commit (12.2).</summary>
    ExternalInitNotAllowed,
    /// <summary>A proposal type that not every member supports (12.2).</summary>
    UnsupportedProposal,
    /// <summary>A proposal that may not be part of an external commit (12.2).</summary>
    NotAllowedInExternalCommit,
    /// <summary>A commit refers to a proposal that was not received (12.4.2).</summary>
    UnknownProposal,
    /// <summary>The commit must carry an update path but does not (12.4).</summary>
    PathRequired,
    /// <summary>The update path has the wrong number of nodes or ciphertexts, or its keys do not match (7.5).</summary>
    BadPath,
    /// <summary>A parent hash does not verify (7.9.2).</summary>
    BadParentHash,
    /// <summary>The tree hash is not the one in the group context (7.8).</summary>
    BadTreeHash,
    /// <summary>The tree has an impossible shape or bad unmerged leaves (12.4.3.1).</summary>
    BadTree,
    /// <summary>The Welcome has no secrets for this key package (12.4.3.1).</summary>
    NotForThisKeyPackage,
    /// <summary>No ratchet tree came with the Welcome or GroupInfo (12.4.3.3).</summary>
    MissingTree,
    /// <summary>The group was reinitialised or this client was removed; nothing more can be sent or processed.</summary>
    GroupClosed,
    /// <summary>A valid proposal is pending: application messages wait for its commit (12.4).</summary>
    ProposalPending,
    /// <summary>The call does not fit the state: another commit is staged, or the staged commit is of another epoch.</summary>
    WrongState,
    /// <summary>This is the client's own message, which it cannot read.</summary>
    OwnMessage,
    /// <summary>Stored state cannot be read.</summary>
    BadState,
    /// <summary>A GroupContextExtensions proposal that changes the dictionary of application data where every member supports AppDataUpdate
    /// (draft-ietf-mls-extensions, 4.7).</summary>
    AppDataByExtensions,
    /// <summary>AppDataUpdate proposals of one component that do not go together, remove what is not there, or that the component does not accept
    /// (draft-ietf-mls-extensions, 4.7).</summary>
    BadAppDataUpdate,
    /// <summary>The sender, or all senders together, have more proposals pending in this epoch than <c>GroupRules</c> allows.</summary>
    TooManyProposals,
}

/// <summary>
/// A refusal as a value. Compares with and converts to its <see cref="MlsError"/>. Most refusals are final for the state of the group that gave them: the same
/// bytes are refused again. A client that keeps several states (branches of a fork, an epoch that can be rolled back) asks each.
/// </summary>
/// <param name="Error">The rule that was broken; <see cref="MlsError.None"/> when nothing was refused.</param>
/// <param name="Leaf">Leaf index of the member whose key, leaf or proposals are wrong, where one can be named.</param>
/// <param name="MayResolve">
/// True when the same bytes may be taken later, once more has arrived: earlier messages of the sender (<see cref="MlsError.GenerationTooFarAhead"/>), a
/// proposal (<see cref="MlsError.UnknownProposal"/>), the commits between (<see cref="MlsError.WrongEpoch"/> of a later epoch), a key
/// (<see cref="MlsError.BadPsk"/> of one that is not known), the tree (<see cref="MlsError.MissingTree"/>). Keep such a message, bounded, and give it again.
/// </param>
public readonly record struct MlsRefusal(MlsError Error, int? Leaf = null, bool MayResolve = false)
{
    /// <summary>Nothing was refused.</summary>
    public static MlsRefusal None => default;

    /// <summary>What a rule alone says.</summary>
    internal static MlsRefusal Of(MlsError error) => new(error, MayResolve: MlsException.ResolvesByItself(error));

    /// <summary>The rule alone.</summary>
    public static implicit operator MlsError(MlsRefusal refusal) => refusal.Error;

    /// <summary>The rule alone.</summary>
    public MlsError ToMlsError() => Error;

    /// <summary>The rule and, where one is named, the leaf.</summary>
    public override string ToString() => Leaf is { } leaf ? $"{Error}: leaf {leaf}" : Error.ToString();
}

/// <summary>A refusal inside the library. The Try methods turn it into an <see cref="MlsRefusal"/>; no state has changed when it is thrown.</summary>
public sealed class MlsException : Exception
{
    /// <summary>The rule that was broken.</summary>
    public MlsError Error { get; } = MlsError.Malformed;

    /// <summary>Leaf index of the member whose key, leaf or proposals are wrong, where one can be named.</summary>
    public int? Leaf { get; }

    /// <summary>True when the same bytes may be taken later; see <see cref="MlsRefusal.MayResolve"/>.</summary>
    public bool MayResolve { get; }

    /// <summary>The refusal as a value.</summary>
    public MlsRefusal Refusal => new(Error, Leaf, MayResolve);

    /// <summary>A refusal with a rule.</summary>
    public MlsException(MlsError error) : base(error.ToString()) => (Error, MayResolve) = (error, ResolvesByItself(error));

    /// <summary>A refusal with a rule and what broke it; never contains secrets.</summary>
    public MlsException(MlsError error, string message) : base($"{error}: {message}") => (Error, MayResolve) = (error, ResolvesByItself(error));

    /// <summary>A refusal as an exception.</summary>
    public MlsException(MlsRefusal refusal) : base(refusal.ToString()) => (Error, Leaf, MayResolve) = (refusal.Error, refusal.Leaf, refusal.MayResolve);

    /// <summary>A malformed structure.</summary>
    public MlsException() { }

    /// <summary>A malformed structure, with text.</summary>
    public MlsException(string message) : base(message) { }

    /// <summary>A malformed structure, with text and cause.</summary>
    public MlsException(string message, Exception innerException) : base(message, innerException) { }

    internal static bool ResolvesByItself(MlsError error) => error is MlsError.GenerationTooFarAhead or MlsError.UnknownProposal or MlsError.MissingTree;

    internal static void ThrowIf(bool broken, MlsError error)
    {
        if (broken) throw new MlsException(error);
    }

    /// <summary>Names the member who is to blame.</summary>
    internal static void ThrowIf(bool broken, MlsError error, int leaf)
    {
        if (broken) throw new MlsException(new MlsRefusal(error, leaf));
    }
}

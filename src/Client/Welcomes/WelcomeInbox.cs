using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using Marmot.Client.Accounts;
using Marmot.Client.Adopted;
using Marmot.Client.Groups;
using Marmot.Client.Profiles;
using Marmot.Client.Relays;
using Marmot.Client.Storage;
using Marmot.Mls.Codec;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.GiftWraps;
using MlsGroup = Marmot.Mls.Groups.Group;

namespace Marmot.Client.Welcomes;

/// <summary>Opens gift wraps and joins every group somebody rightly invites to (MIP-02).</summary>
internal sealed class WelcomeInbox
{
    /// <summary>A Welcome whose key package is not here may be for one that another start of this client still brings; afterwards it is dropped.</summary>
    private const long UnknownKeyPackageSeconds = 24 * 60 * 60;

    private const string NotHere = "the Welcome is for a key package that is not here";
    private const long InboxMarginSeconds = 60 * 60;
    private const string WrapPrefix = "w/";

    private readonly Dictionary<Bytes32, long> _processedWraps = []; // and our clock when each was opened

    private readonly Account _account;
    private readonly GroupSessions _sessions;
    private readonly RelayRequests _relays;
    private readonly AdoptedGroups _adopted;
    private int _clockStepsAtLook;

    public WelcomeInbox(Account account, GroupSessions sessions, RelayRequests relays, AdoptedGroups adopted)
    {
        (_account, _sessions, _relays, _adopted) = (account, sessions, relays, adopted);
        foreach (var (id, value) in account.Store.Scan(WrapPrefix))
        {
            _processedWraps[Bytes32.ParseHex(id[WrapPrefix.Length..])] = BinaryPrimitives.ReadInt64BigEndian(value);
        }
    }

    /// <summary>Reads the inbox and joins every group somebody rightly invites to.</summary>
    public async Task<JoinReport> AcceptAsync(TimeSpan? wait = null, CancellationToken cancellationToken = default)
    {
        var joined = new List<JoinedGroup>();
        var failed = new List<FailedWelcome>();
        int clockSteps = _account.Clock.CountSteps();
        long askedAt = _account.Now;
        var answers = await Task.WhenAll(
            _account.Settings.InboxRelays.Select(relay => _relays.Network.FetchAsync(relay, InboxFilter(), asAccount: true, cancellationToken)));
        await OpenWrapsAsync(answers.SelectMany(answer => answer.Events), joined, failed, cancellationToken);
        if (answers.Length > 0 && Array.TrueForAll(answers, answer => answer.Complete))
        {
            _account.InboxReadAt = askedAt;
            _clockStepsAtLook = clockSteps;
        }

        if (joined.Count == 0 && failed.Count == 0 && wait is { } limit && limit > TimeSpan.Zero)
        {
            await ListenForWelcomeAsync(limit, joined, failed, cancellationToken);
        }

        return new JoinReport(joined, failed)
        {
            Unreachable = [.. answers.Where(answer => !answer.Complete).Select(answer => $"{answer.Relay}: {answer.Message}")],
        };
    }

    /// <summary>The account's gift wraps on its inbox relays as they lie there.</summary>
    public Task<IReadOnlyList<NostrEvent>> FetchGiftWrapsAsync(CancellationToken cancellationToken = default) =>
        _relays.FetchAsync(_account.Settings.InboxRelays,
            new Filter { Kinds = [GiftWrap.Kind], Tags = new Dictionary<char, string[]> { ['p'] = [_account.PublicKey.ToString()] } }, asAccount: true,
            cancellationToken);

    // A mark ahead of the clock, or of a clock that was set since, says nothing.
    private long InboxReadAt =>
        _account.InboxReadAt > _account.Now + InboxMarginSeconds || _account.Clock.CountSteps() != _clockStepsAtLook ? 0 : _account.InboxReadAt;

    // Wraps are dated up to two days back (NIP-59): never ask for less than that.
    private Filter InboxFilter() => new()
    {
        Kinds = [GiftWrap.Kind],
        Tags = new Dictionary<char, string[]> { ['p'] = [_account.PublicKey.ToString()] },
        Since = InboxReadAt == 0 ? null : Math.Max(0, InboxReadAt - GiftWrap.MaxBackdateSeconds - InboxMarginSeconds),
    };

    private async Task ListenForWelcomeAsync(TimeSpan limit, List<JoinedGroup> joined, List<FailedWelcome> failed, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(limit, _account.Time);
        using var turn = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        var arrived = System.Threading.Channels.Channel.CreateUnbounded<NostrEvent>();
        var filter = InboxFilter();
        var listening =
            _account.Settings.InboxRelays.Select(relay =>
                _relays.Network.ListenAsync(relay, filter, asAccount: true, evt => arrived.Writer.TryWrite(evt), turn.Token)).ToList();
        try
        {
            while (joined.Count == 0 && failed.Count == 0)
            {
                await OpenWrapsAsync([await arrived.Reader.ReadAsync(turn.Token)], joined, failed, turn.Token);
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // The time is over.
        }
        finally
        {
            await turn.CancelAsync();
            await Task.WhenAll(listening);
        }
    }

    private async Task OpenWrapsAsync(IEnumerable<NostrEvent> wraps, List<JoinedGroup> joined, List<FailedWelcome> failed, CancellationToken cancellationToken)
    {
        using var gate = await _sessions.EnterAsync(cancellationToken);

        var opened = new List<(Bytes32 WrapId, Rumor Rumor)>();
        foreach (var wrap in wraps.Where(wrap => !_processedWraps.ContainsKey(wrap.Id)).DistinctBy(wrap => wrap.Id))
        {
            if (GiftWrap.TryOpen(wrap, _account.Key, out var rumor, out _) && rumor.Kind == MarmotNumbers.WelcomeKind)
            {
                opened.Add((wrap.Id, rumor));
            }
            else
            {
                Forget(wrap.Id, new StoreBatch());
            }
        }

        ForgetOldWraps();

        // 1. Open all of them, so that those of one group can be put in order.
        var welcomes = new List<OpenedWelcome>();
        foreach (var (wrapId, rumor) in opened.OrderBy(one => one.Rumor.CreatedAt))
        {
            // The adopted profile has no encoding tag; a group of it is known by nothing else outside.
            if (rumor.TagValue("encoding") is null && AdoptedWelcome.TryRead(rumor, out _, out _))
            {
                if (_adopted.TryJoin(rumor, out var state, out string reason, out bool isUnknown))
                {
                    Forget(wrapId, new StoreBatch());
                    joined.Add(new JoinedGroup(state, rumor, wrapId));
                }
                else
                {
                    failed.Add(new FailedWelcome(wrapId, reason));
                    if (!isUnknown || IsPermanent(rumor))
                    {
                        Forget(wrapId, new StoreBatch());
                    }
                }

                continue;
            }

            if (TryOpen(rumor, out var mls, out var used, out string refusal, out bool isPermanent))
            {
                welcomes.Add(new OpenedWelcome(wrapId, rumor, mls, used));
                continue;
            }

            failed.Add(new FailedWelcome(wrapId, refusal));
            if (isPermanent)
            {
                Forget(wrapId, new StoreBatch());
            }
        }

        // 2. By epoch, then by date: the Welcome of a commit that lost its race may come last.
        foreach (var welcome in welcomes.OrderBy(one => one.Mls.Epoch).ThenBy(one => one.Rumor.CreatedAt))
        {
            var batch = new StoreBatch();
            if (Join(welcome, batch, out var session) is { } refusal)
            {
                failed.Add(new FailedWelcome(welcome.WrapId, refusal));
                if (refusal != NotHere || IsPermanent(welcome.Rumor))
                {
                    Forget(welcome.WrapId, batch);
                }

                continue;
            }

            Forget(welcome.WrapId, batch);
            if (session is not null)
            {
                _sessions.Put(session);
                joined.RemoveAll(one => one.State.GroupId == session.GroupId);
                joined.Add(new JoinedGroup(session.State(), welcome.Rumor, welcome.WrapId));
            }
        }
    }

    private void Forget(in Bytes32 wrapId, StoreBatch batch)
    {
        long now = _account.Now;
        byte[] value = new byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(value, now);
        batch.Put(WrapPrefix + wrapId, value);
        _account.Store.Commit(batch);
        _processedWraps[wrapId] = now;
    }

    // What was opened so long ago is older than anything the inbox is asked for.
    private void ForgetOldWraps()
    {
        var batch = new StoreBatch();
        foreach (var (wrapId, _) in _processedWraps.Where(pair => pair.Value < _account.InboxReadAt - (2 * (GiftWrap.MaxBackdateSeconds + InboxMarginSeconds)))
            .ToList())
        {
            batch.Delete(WrapPrefix + wrapId);
            _processedWraps.Remove(wrapId);
        }

        _account.Store.Commit(batch, durable: false);
    }

    // The bytes, and our key package: by what the Welcome itself names, since the e tag may be wrong.
    private bool TryOpen(Rumor rumor, [NotNullWhen(true)] out MlsGroup? mls, out OwnPackage used, out string refusal, out bool isPermanent)
    {
        (mls, used, isPermanent) = (null, default, true);
        byte[] bytes;
        try
        {
            bytes = rumor.TagValue("encoding") == "base64" ? Convert.FromBase64String(rumor.Content) : Convert.FromHexString(rumor.Content);
        }
        catch (FormatException)
        {
            refusal = "the Welcome is not in its encoding";
            return false;
        }

        if (!MlsMessage.TryRead(bytes, out var message, out var error) || message!.WireFormat != WireFormat.Welcome)
        {
            refusal = $"not an MLS Welcome ({error})";
            return false;
        }

        foreach (var (reference, record) in KeyPackageRecord.All(_account.Store))
        {
            if (!KeyPackageSecrets.TryRead(record.Secrets, out var secrets))
            {
                continue;
            }

            using (secrets)
            {
                if (MlsGroup.TryJoin(message, secrets!, new JoinRequest { Rules = MipGroup.Rules }, out mls, out var refused) && mls is not null)
                {
                    (used, refusal) = (new OwnPackage(reference, record), string.Empty);
                    return true;
                }

                if (refused != MlsError.NotForThisKeyPackage)
                {
                    refusal = $"the Welcome is not valid: {refused}";
                    return false;
                }
            }
        }

        (isPermanent, refusal) = (IsPermanent(rumor), NotHere);
        return false;
    }

    private bool IsPermanent(Rumor rumor) => rumor.CreatedAt < _account.Now - UnknownKeyPackageSeconds;

    // Null when the Welcome was followed, then with a session, or kept; its effects are in the batch.
    private string? Join(OpenedWelcome welcome, StoreBatch batch, out GroupSession? session)
    {
        session = null;
        var (rumor, mls) = (welcome.Rumor, welcome.Mls);

        // 1. The group and who invites.
        if (Refusal(rumor, mls) is { } refusal)
        {
            mls.Dispose();
            return refusal;
        }

        // 2. A group known already is only joined anew when we are out of it, or stand on a branch that lost.
        var fate = _sessions.TryGet(Convert.ToHexStringLower(mls.GroupId.Span), out var known) ? known.FateOf(mls, rumor.PublicKey) : WelcomeFate.Follow;
        if (fate == WelcomeFate.Refuse)
        {
            mls.Dispose();
            return "the group is joined already";
        }

        // 3. A key package for one use has had it, and its keys are gone with the same write. What stays of it reminds of the slot that is empty now. Another
        // Welcome into the same group is the same use: two admins invited at once.
        var record = _account.Store.GetJson<KeyPackageRecord>(KeyPackageRecord.Key(welcome.Used.Reference)) ?? welcome.Used.Record;
        if (record.IsUsedUp && known is null)
        {
            mls.Dispose();
            return NotHere;
        }

        var after = record with { Uses = record.Uses + 1 };
        batch.PutJson(KeyPackageRecord.Key(welcome.Used.Reference), after.IsLastResort ? after : after with { Secrets = [] });

        // 4. Joined, or kept until somebody is heard.
        if (fate == WelcomeFate.Keep)
        {
            known!.KeepBranch(mls, welcome.WrapId, rumor.CreatedAt, batch);
            mls.Dispose();
            return null;
        }

        session = GroupSession.Join(_account.Store, _account.Time, _account.PublicKey, mls, MipGroup.DataOf(mls.Extensions)!, rumor.CreatedAt, batch);
        return null;
    }

    private static string? Refusal(Rumor rumor, MlsGroup mls)
    {
        if (ProfileDetector.OfGroup(mls.Extensions) == MarmotProfile.Adopted)
        {
            return $"the group is of {ProfileDetector.AdoptedName}";
        }

        if (MipGroup.DataOf(mls.Extensions) is not { } data)
        {
            return "the group has no readable Marmot group data";
        }

        return data.Admins.Contains(rumor.PublicKey) && mls.Members.Any(member => MarmotIdentity.Of(member.Leaf) == rumor.PublicKey)
            ? null
            : "the inviter is not an admin of the group";
    }

    /// <summary>The own key package that opened a Welcome.</summary>
    private readonly record struct OwnPackage(Bytes32 Reference, KeyPackageRecord Record);

    /// <summary>A Welcome whose group is open and not joined yet.</summary>
    private sealed record OpenedWelcome(Bytes32 WrapId, Rumor Rumor, MlsGroup Mls, OwnPackage Used);
}

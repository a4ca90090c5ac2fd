using System.Buffers.Binary;
using Marmot.Client.Accounts;
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

    private const long InboxMarginSeconds = 60 * 60;
    private const string WrapPrefix = "w/";

    private readonly Dictionary<Bytes32, long> _processedWraps = []; // and our clock when each was opened

    private readonly Account _account;
    private readonly GroupSessions _sessions;
    private readonly RelayRequests _relays;
    private int _clockStepsAtLook;

    public WelcomeInbox(Account account, GroupSessions sessions, RelayRequests relays)
    {
        (_account, _sessions, _relays) = (account, sessions, relays);
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
        var answers = await Task.WhenAll(_account.Settings.InboxRelays.Select(relay => _relays.Network.FetchAsync(relay, InboxFilter(), asAccount: true, cancellationToken)));
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

        return new JoinReport(joined, failed) { Unreachable = [.. answers.Where(answer => !answer.Complete).Select(answer => $"{answer.Relay}: {answer.Message}")] };
    }

    /// <summary>The account's gift wraps on its inbox relays as they lie there.</summary>
    public Task<IReadOnlyList<NostrEvent>> FetchGiftWrapsAsync(CancellationToken cancellationToken = default) =>
        _relays.FetchAsync(_account.Settings.InboxRelays, new Filter { Kinds = [GiftWrap.Kind], Tags = new Dictionary<char, string[]> { ['p'] = [_account.PublicKey.ToString()] } }, asAccount: true, cancellationToken);

    // A mark ahead of the clock, or of a clock that was set since, says nothing.
    private long InboxReadAt => _account.InboxReadAt > _account.Now + InboxMarginSeconds || _account.Clock.CountSteps() != _clockStepsAtLook ? 0 : _account.InboxReadAt;

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
        var listening = _account.Settings.InboxRelays.Select(relay => _relays.Network.ListenAsync(relay, filter, asAccount: true, evt => arrived.Writer.TryWrite(evt), turn.Token)).ToList();
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

        // The newest Welcome into a group counts, so they are taken in the order they were written, not in that of their made-up dates.
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

        foreach (var (wrapId, rumor) in opened.OrderBy(one => one.Rumor.CreatedAt))
        {
            var batch = new StoreBatch();
            string? refusal = Join(rumor, batch, out var session, out bool isPermanent);
            if (session is not null)
            {
                Forget(wrapId, batch);
                _sessions.Put(session);
                joined.Add(new JoinedGroup(session.State(), rumor, wrapId));
                continue;
            }

            failed.Add(new FailedWelcome(wrapId, refusal!));
            if (isPermanent)
            {
                Forget(wrapId, new StoreBatch());
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
        foreach (var (wrapId, _) in _processedWraps.Where(pair => pair.Value < _account.InboxReadAt - (2 * (GiftWrap.MaxBackdateSeconds + InboxMarginSeconds))).ToList())
        {
            batch.Delete(WrapPrefix + wrapId);
            _processedWraps.Remove(wrapId);
        }

        _account.Store.Commit(batch, durable: false);
    }

    // Null and a session when the Welcome was followed; its effects are in the batch.
    private string? Join(Rumor rumor, StoreBatch batch, out GroupSession? session, out bool isPermanent)
    {
        session = null;
        isPermanent = true;

        // 1. The bytes.
        byte[] bytes;
        try
        {
            bytes = rumor.TagValue("encoding") == "base64" ? Convert.FromBase64String(rumor.Content) : Convert.FromHexString(rumor.Content);
        }
        catch (FormatException)
        {
            return "the Welcome is not in its encoding";
        }

        if (!MlsMessage.TryRead(bytes, out var message, out var error) || message!.WireFormat != WireFormat.Welcome)
        {
            return $"not an MLS Welcome ({error})";
        }

        // 2. Our key package: by what the Welcome itself names, since the e tag may be wrong.
        MlsGroup? mls = null;
        (Bytes32 Reference, KeyPackageRecord Record)? used = null;
        foreach (var (reference, record) in KeyPackageRecord.All(_account.Store))
        {
            if (!KeyPackageSecrets.TryRead(record.Secrets, out var secrets))
            {
                continue;
            }

            using (secrets)
            {
                if (MlsGroup.TryJoin(message, secrets!, new JoinRequest { Rules = MipGroup.Rules }, out mls, out var refused))
                {
                    used = (reference, record);
                    break;
                }

                if (refused != MlsError.NotForThisKeyPackage)
                {
                    return $"the Welcome is not valid: {refused}";
                }
            }
        }

        if (mls is null || used is null)
        {
            isPermanent = rumor.CreatedAt < _account.Now - UnknownKeyPackageSeconds;
            return "the Welcome is for a key package that is not here";
        }

        // 3. The group and who invites.
        if (Refusal(rumor, mls) is { } refusal)
        {
            mls.Dispose();
            return refusal;
        }

        // 4. Joined; a key package for one use has had it, and its keys are gone with the same write. What stays of it reminds of the slot that is empty now.
        session = GroupSession.Join(_account.Store, _account.Time, _account.PublicKey, mls, MipGroup.DataOf(mls.Extensions)!, rumor.CreatedAt, batch);
        var after = used.Value.Record with { Uses = used.Value.Record.Uses + 1 };
        batch.PutJson(KeyPackageRecord.Key(used.Value.Reference), after.IsLastResort ? after : after with { Secrets = [] });
        return null;
    }

    private string? Refusal(Rumor rumor, MlsGroup mls)
    {
        if (ProfileDetector.OfGroup(mls.Extensions) == MarmotProfile.Adopted)
        {
            return $"the group is of {ProfileDetector.AdoptedName}";
        }

        if (MipGroup.DataOf(mls.Extensions) is not { } data)
        {
            return "the group has no readable Marmot group data";
        }

        if (!data.Admins.Contains(rumor.PublicKey) || !mls.Members.Any(member => MarmotIdentity.Of(member.Leaf) == rumor.PublicKey))
        {
            return "the inviter is not an admin of the group";
        }

        // A group known already is only joined anew when we are out of it, or stand on a branch that lost.
        string id = Convert.ToHexStringLower(mls.GroupId.Span);
        return _sessions.TryGet(id, out var known) && !known.MayBeReplacedBy(mls, rumor.PublicKey) ? "the group is joined already" : null;
    }
}

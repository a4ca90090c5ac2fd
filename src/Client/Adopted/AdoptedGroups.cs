using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using Marmot.Client.Accounts;
using Marmot.Client.Groups;
using Marmot.Client.Relays;
using Marmot.Client.Sending;
using Marmot.Client.Storage;
using Marmot.Mls.Messages;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.GiftWraps;
using MlsGroup = Marmot.Mls.Groups.Group;

namespace Marmot.Client.Adopted;

/// <summary>
/// The account's groups of the adopted profile, with relays: the same steps that the other rooms do for groups of the MIP profile. Steps that change a group
/// run one after another. Thread-safe.
/// </summary>
internal sealed partial class AdoptedGroups : IDisposable
{
    /// <summary>How long a step waits for a pass to end. A pass takes 5 seconds at most, and what came meanwhile may open another.</summary>
    private static readonly TimeSpan MaxWait = TimeSpan.FromSeconds(30);

    /// <summary>Events may be dated as long before they are published: what waited for a relay keeps its date.</summary>
    private const long LateSeconds = 2L * 24 * 60 * 60;

    /// <summary>How long an own commit may wait for an answer before it is given up.</summary>
    private const long MaxPendingSeconds = 120;

    private readonly Account _account;
    private readonly RelayRequests _relays;
    private readonly Outbox _outbox;
    private readonly SemaphoreSlim _gate = new(1, 1);
    private readonly ConcurrentDictionary<string, AdoptedGroup> _groups = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, long> _caughtUp = new(StringComparer.Ordinal);

    public AdoptedGroups(Account account, RelayRequests relays, Outbox outbox)
    {
        (_account, _relays, _outbox) = (account, relays, outbox);
        foreach (var group in AdoptedGroup.LoadAll(account.Store, account.Time, account.PublicKey))
        {
            _groups[group.GroupId] = group;
        }
    }

    public ICollection<AdoptedGroup> All => _groups.Values;

    /// <summary>A group of the profile by its MLS group id or its public id, hex.</summary>
    public bool TryGet(string groupId, [NotNullWhen(true)] out AdoptedGroup? group)
    {
        if (!_groups.TryGetValue(groupId, out group) && Bytes32.TryParseHex(groupId.AsSpan(), out var routing))
        {
            group = _groups.Values.FirstOrDefault(one => one.RoutingIds.Contains(routing));
        }

        return group is not null;
    }

    public bool Has(string groupId) => TryGet(groupId, out _);

    /// <summary>Reads one group inside the gate.</summary>
    public T Read<T>(string groupId, Func<AdoptedGroup, T> read)
    {
        _gate.Wait();
        try
        {
            return read(Require(groupId));
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <summary>Makes a group of one; nothing is published.</summary>
    public async Task<GroupState> CreateAsync(AdoptedFounding founding, CancellationToken cancellationToken)
    {
        await _gate.WaitAsync(cancellationToken);
        try
        {
            var mls = AdoptedGroup.Found(_account.Key, founding, _account.Time.GetUtcNow());
            var group = Begin(mls, isJoined: false, new StoreBatch());
            group.Record.WantedAdmins.AddRange(founding.Admins);
            group.SaveRecord();
            return group.Describe();
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <summary>Joins by an opened Welcome rumor. A refusal leaves everything as it was.</summary>
    /// <param name="rumor">The Welcome; its author is that of the seal.</param>
    /// <param name="state">The group joined.</param>
    /// <param name="refusal">Why not.</param>
    /// <param name="isUnknown">True when its key package is not here, or not yet.</param>
    public bool TryJoin(Rumor rumor, [NotNullWhen(true)] out GroupState? state, out string refusal, out bool isUnknown)
    {
        (state, isUnknown) = (null, false);
        if (!AdoptedWelcome.TryRead(rumor, out var welcome, out refusal))
        {
            return false;
        }

        _gate.Wait();
        try
        {
            var digest = AdoptedGroup.DigestOf(welcome.ToBytes());
            string key = $"aw/{digest}";
            if (_account.Store.Get(key) is not null)
            {
                refusal = "the Welcome was opened before";
                return false;
            }

            foreach (var (reference, record) in KeyPackageRecord.All(_account.Store).Where(one => !one.Record.IsUsedUp))
            {
                if (!KeyPackageSecrets.TryRead(record.Secrets, out var secrets))
                {
                    continue;
                }

                using (secrets)
                {
                    if (!AdoptedWelcome.TryJoin(welcome, secrets!, rumor.PublicKey, out var mls, out refusal, out bool isForAnother))
                    {
                        if (isForAnother)
                        {
                            continue;
                        }

                        return false;
                    }

                    if (Known(mls) is { } known)
                    {
                        mls.Dispose();
                        refusal = known;
                        return false;
                    }

                    var batch = new StoreBatch();
                    batch.Put(key, [1]);
                    batch.PutJson(KeyPackageRecord.Key(reference), record with { Uses = record.Uses + 1 });
                    state = Begin(mls, isJoined: true, batch).Describe();
                    return true;
                }
            }

            (refusal, isUnknown) = ("the Welcome is for a key package that is not here", true);
            return false;
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <summary>Makes a change now: waits until the group is quiet, commits, publishes, sends the Welcomes.</summary>
    /// <returns>What was published; empty when the group is so already, or for the commit that founds it.</returns>
    public Task<IReadOnlyList<PublishedEvent>> ChangeAsync(string groupId, Func<AdoptedGroup, AdoptedChange> change, CancellationToken cancellationToken) =>
        CommitAsync(groupId, group => group.StageChange(change(group)), cancellationToken);

    public Task<IReadOnlyList<PublishedEvent>> SelfUpdateAsync(string groupId, CancellationToken cancellationToken) =>
        CommitAsync(groupId, group => group.StageSelfUpdate(), cancellationToken);

    public Task<IReadOnlyList<PublishedEvent>> CommitLeavesAsync(string groupId, CancellationToken cancellationToken) =>
        CommitAsync(groupId, group => group.HasLeavesToCommit ? group.StageLeaves() : null, cancellationToken);

    /// <summary>Asks to be taken out.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> LeaveAsync(string groupId, CancellationToken cancellationToken)
    {
        var (evt, relays) = await WhenQuietAsync(groupId, group => (group.CreateLeave(), group.Relays), cancellationToken);
        var published = await _relays.PublishAsync(evt, relays, cancellationToken);
        _outbox.TakeReplies(published);
        return [published];
    }

    /// <summary>Sends a message.</summary>
    /// <param name="groupId">The group.</param>
    /// <param name="rumorOf">Makes the inner event in the state it is sealed in; null gives up.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public async Task<SentMessage?> SendAsync(string groupId, Func<AdoptedGroup, Rumor?> rumorOf, CancellationToken cancellationToken)
    {
        if (Read(groupId, group => group.NeedsFreshKeys))
        {
            await SyncAsync(groupId, null, null, commitLeaves: false, cancellationToken);
            await SelfUpdateAsync(groupId, cancellationToken);
        }

        Rumor? rumor = null;
        IReadOnlyList<string> relays = [];
        var evt = await WhenQuietAsync(
            groupId,
            group =>
            {
                (rumor, relays) = (rumorOf(group), group.Relays);
                return rumor is null ? null : group.CreateMessage(rumor).Event;
            },
            cancellationToken);
        if (evt is null)
        {
            return null;
        }

        await _account.Store.FlushAsync(CancellationToken.None);
        var published = await _relays.PublishAsync(evt, relays, cancellationToken);
        _outbox.TakeReplies(published);
        return published.IsRefused && relays.Count > 0 ? throw new ClientException($"no relay took the message: {published.Reasons}")
            : new SentMessage(rumor!, published);
    }

    /// <summary>Reads what the relays have, waits for the passes it opens, and settles what was left open.</summary>
    public async Task<GroupReport> SyncAsync(string groupId, ulong? untilEpoch, TimeSpan? wait, bool commitLeaves, CancellationToken cancellationToken)
    {
        var report = new GroupReport();
        await LookAsync(groupId, report, commitLeaves, cancellationToken);
        if (wait is { } limit && limit > TimeSpan.Zero && !(untilEpoch is { } epoch && Read(groupId, group => group.Epoch) >= epoch))
        {
            using var deadline = new CancellationTokenSource(limit, _account.Time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
            await ListenAsync(groupId, report, () => untilEpoch is { } wanted && Read(groupId, group => group.Epoch) >= wanted, commitLeaves, _ =>
                Task.CompletedTask, either.Token);
            cancellationToken.ThrowIfCancellationRequested();
        }

        return report;
    }

    /// <summary>Follows one group live until cancelled or left.</summary>
    public async Task FollowAsync(string groupId, Func<GroupReport, Task> onReport, CancellationToken cancellationToken)
    {
        while (!cancellationToken.IsCancellationRequested && Read(groupId, group => group.IsActive))
        {
            var report = new GroupReport();
            await LookAsync(groupId, report, commitLeaves: true, cancellationToken);
            await onReport(report);
            await ListenAsync(groupId, new GroupReport(), () => false, commitLeaves: true, onReport, cancellationToken);
        }
    }

    /// <summary>The group events on the relays, oldest first.</summary>
    public async Task<IReadOnlyList<NostrEvent>> FetchEventsAsync(string groupId, CancellationToken cancellationToken)
    {
        var (relays, filter) = Read(groupId, group => (Places(group), FilterOf(group.RoutingIds, 0)));
        return [.. (await _relays.FetchAsync(relays, filter, asAccount: false, cancellationToken)).OrderBy(evt => evt.CreatedAt).ThenBy(evt => evt.Id)];
    }

    /// <summary>Settles what a crash or a lost connection left open.</summary>
    public async Task ResumeAsync(CancellationToken cancellationToken)
    {
        foreach (string id in _groups.Keys)
        {
            await FinishPendingAsync(id, commitLeaves: false, new GroupReport(), cancellationToken);
        }
    }

    public void Dispose()
    {
        foreach (var group in _groups.Values)
        {
            group.Dispose();
        }

        _gate.Dispose();
    }

    private AdoptedGroup Require(string groupId) => TryGet(groupId, out var group) ? group : throw new ClientException($"no group {groupId}");

    private AdoptedGroup Begin(MlsGroup mls, bool isJoined, StoreBatch batch)
    {
        var group = AdoptedGroup.Begin(_account.Store, _account.Time, _account.PublicKey, mls, _account.Now, isJoined, batch);
        _account.Store.Commit(batch);
        if (_groups.TryRemove(group.GroupId, out var old))
        {
            old.Dispose();
        }

        return _groups[group.GroupId] = group;
    }

    // Why a Welcome into a group that is known is not followed; null when it is.
    private string? Known(MlsGroup mls) => !_groups.TryGetValue(Convert.ToHexStringLower(mls.GroupId.Span), out var group) ? null
        : group.IsDisbanded ? "the group was ended"
        : group.IsActive && !group.MayReplace(mls) ? "the group is joined already"
        : null;

    private async Task<IReadOnlyList<PublishedEvent>> CommitAsync(string groupId, Func<AdoptedGroup, NostrEvent?> stage, CancellationToken cancellationToken)
    {
        bool isFounding = false;
        var (evt, relays) = await WhenQuietAsync(
            groupId,
            group =>
            {
                isFounding = group.Mls.Members.Count == 1;
                var staged = stage(group);
                return (staged, group.Relays);
            },
            cancellationToken);
        return evt is null ? [] : await PublishCommitAsync(groupId, evt, relays, isFounding, cancellationToken);
    }

    private async Task<IReadOnlyList<PublishedEvent>> PublishCommitAsync(string groupId, NostrEvent evt, IReadOnlyList<string> relays, bool isFounding,
        CancellationToken cancellationToken)
    {
        // A group of one has nobody who could use the commit.
        if (isFounding)
        {
            await InsideAsync(groupId, Confirm, cancellationToken);
            return await _outbox.FlushAsync(entry => entry.Recipient is not null && entry.GroupId == groupId, cancellationToken);
        }

        var published = await _relays.PublishAsync(evt, relays, cancellationToken);
        if (published.Acked)
        {
            await InsideAsync(groupId, Confirm, CancellationToken.None);
            return [published, .. await _outbox.FlushAsync(entry => entry.Recipient is not null && entry.GroupId == groupId, cancellationToken)];
        }

        if (published.IsRefused)
        {
            await InsideAsync(groupId, Abandon, CancellationToken.None);
            throw new ClientException($"no relay took the commit: {published.Reasons}");
        }

        throw new ClientException($"no relay has answered; the commit waits and the next sync settles it: {published.Reasons}");
    }

    private bool Confirm(AdoptedGroup group)
    {
        if (group.Pending is not null)
        {
            group.ConfirmCommit();
        }

        Welcome(group);
        return true;
    }

    private static bool Abandon(AdoptedGroup group)
    {
        if (group.Pending is not null)
        {
            group.AbandonCommit();
        }

        return true;
    }

    // Each invitee gets a rumor of his own in a gift wrap of his own.
    private void Welcome(AdoptedGroup group)
    {
        var batch = new StoreBatch();
        foreach (var (welcome, invitees, epoch, relays) in group.WelcomesOwed())
        {
            foreach (var invitee in invitees)
            {
                var rumor = AdoptedWelcome.CreateRumor(_account.PublicKey, invitee.EventId, relays, welcome, _account.Now);
                var wrap = GiftWrap.Create(rumor, _account.Key, invitee.Account, _account.Time);
                batch.PutJson(
                    GroupSession.OutboxKey(wrap.Id),
                    new OutboxEntry(Encoding.UTF8.GetString(wrap.Json.Span), wrap.Kind, wrap.CreatedAt, [.. relays], group.GroupId, epoch, null)
                    {
                        Recipient = invitee.Account
                    });
            }
        }

        if (!batch.IsEmpty)
        {
            group.MarkWelcomed(batch);
        }
    }

    private async Task<T> InsideAsync<T>(string groupId, Func<AdoptedGroup, T> step, CancellationToken cancellationToken)
    {
        await _gate.WaitAsync(cancellationToken);
        try
        {
            return step(Require(groupId));
        }
        finally
        {
            _gate.Release();
        }
    }

    // A step that seals: not while the group is decided about.
    private async Task<T> WhenQuietAsync<T>(string groupId, Func<AdoptedGroup, T> step, CancellationToken cancellationToken)
    {
        long began = _account.Time.GetTimestamp();
        while (true)
        {
            var (isDone, result, pause) = await InsideAsync<(bool, T, TimeSpan)>(
                groupId,
                group =>
                {
                    group.Tick();
                    return group.IsQuiet || !group.IsActive ? (true, step(group), default)
                        : (false, default!, group.Remaining ?? TimeSpan.FromMilliseconds(100));
                },
                cancellationToken);
            if (isDone)
            {
                return result;
            }

            if (_account.Time.GetElapsedTime(began) > MaxWait)
            {
                throw new ClientException("an own commit still waits for a relay's answer; sync first");
            }

            await Task.Delay(pause < TimeSpan.FromMilliseconds(1) ? TimeSpan.FromMilliseconds(1) : pause, _account.Time, cancellationToken);
        }
    }
}

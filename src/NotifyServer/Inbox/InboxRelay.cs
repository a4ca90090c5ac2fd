using Marmot.Hosting;
using Marmot.NotifyServer.Apps;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Keys;
using Marmot.Protocol.RelayClient;
using Microsoft.Extensions.Logging;

namespace Marmot.NotifyServer.Inbox;

/// <summary>One relay for one key: its connection, its gate, its place in the intake, its inbox list.</summary>
/// <remarks>One socket a key, because some relays authenticate only one key on a socket.</remarks>
internal sealed class InboxRelay : IRelayConnectionObserver, IDisposable
{
    private const int AuthorListKind = EventKinds.InboxRelays;
    // The longer a relay has been away the longer it may take to notice that it is back, but by a share of that time only.
    internal const double ReconnectGrowth = 1.25;
    private static readonly TimeSpan Reassert = TimeSpan.FromDays(1);
    private static readonly TimeSpan LimitsLifetime = TimeSpan.FromHours(1);

    private readonly InboxContext _context;
    private readonly SecretKey _key;
    private readonly RelayConnection _connection;
    private readonly int _index;
    private readonly SemaphoreSlim _assert = new(0, 1);
    private readonly CanaryLoop _canary;
    private TimeSpan? _deafSince;
    private double _deafSeconds;
    private TimeSpan? _limitsRead;

    public InboxRelay(InboxContext context, int index, string url, string? authUrl, NotifyApp app, SecretKey key)
    {
        _context = context;
        _index = index;
        _key = key;
        App = app;
        Name = RelayUrl.Normalise(url);
        _deafSince = context.Time.GetUptime();
        var options = context.Options;
        _connection = new RelayConnection(
            new RelayConnectionOptions
            {
                Url = new Uri(url),
                AuthUrl = authUrl,
                AuthKey = key,
                Subscription = Subscribe,
                EoseTimeout = options.EoseTimeout,
                BackoffBase = options.ReconnectBase,
                BackoffGrowth = ReconnectGrowth,
                BackoffMax = options.ReconnectMax,
                MaxMessageBytes = options.MaxEventBytes + 1024, // the frame around it
                TrustedRoots = context.TrustedRoots,
            },
            this,
            context.Time);
        _canary = new CanaryLoop(context, _connection, key, Name, app.Name);
    }

    public string Name { get; }

    public NotifyApp App { get; }

    public bool IsLive => _connection.State == RelayState.Live;

    /// <summary>Live by all signs and yet our own triggers do not come back.</summary>
    public bool IsDeaf => IsLive && _canary.IsDeaf;

    /// <summary>Seconds since one of our own triggers came back; NaN when none has yet.</summary>
    public double CanaryAgeSeconds => _canary.LastArrival is { } last ? (_context.Time.GetUptime() - last).TotalSeconds : double.NaN;

    /// <summary>Limits of the relay's information document that are too low for us; empty also when it has none.</summary>
    public IReadOnlyList<RelayLimit> Limits { get; private set; } = [];

    public RelayConnection Connection => _connection;

    /// <summary>True when the relay holds our newest inbox list.</summary>
    public bool IsListed { get; private set; }

    /// <summary>Seconds without a live subscription since the start.</summary>
    public double DeafSeconds => _deafSeconds + (_deafSince is { } since ? (_context.Time.GetUptime() - since).TotalSeconds : 0);

    /// <summary>Listens, keeps the inbox list in place and sends the canary until cancelled: three loops, none of which may end before.</summary>
    public IEnumerable<Task> Start(CancellationToken cancellationToken)
    {
        yield return Task.Run(() => _connection.RunAsync(cancellationToken), CancellationToken.None);
        yield return KeepListedAsync(cancellationToken);
        yield return _canary.RunAsync(cancellationToken);
    }

    public void Dispose() => _assert.Dispose();

    public void OnEvent(in NostrEventView evt, bool live)
    {
        _context.Canaries.Arrived(Name, evt.Id);
        var outcome = _context.Gate.Check(evt, live);
        if (outcome == EventOutcome.Queued)
        {
            _canary.Heard();
        }

        if (outcome == EventOutcome.Queued && !_context.Intake.TryAdd(_index, evt.Json, _context.Time.GetUptime()))
        {
            outcome = EventOutcome.InboxFull;
        }

        _context.Metrics.Event(Name, outcome);
    }

    public void OnState(RelayState state)
    {
        _context.Metrics.RelayState(Name, state);
        NotifyLog.RelayState(_context.Logger, Name, App.Name, state.Label());
        if (state == RelayState.Live)
        {
            _deafSeconds = DeafSeconds;
            _deafSince = null;
        }
        else
        {
            _deafSince ??= _context.Time.GetUptime();
        }
    }

    public void OnClosed(RejectPrefix prefix, TimeSpan pause)
    {
        _context.Metrics.RelayClosed(Name, prefix);
        if (prefix != RejectPrefix.AuthRequired)
        {
            NotifyLog.RelayClosed(_context.Logger, Name, App.Name, prefix.Label(), pause);
        }
    }

    public void OnAuth(bool accepted)
    {
        _context.Metrics.RelayAuth(Name, accepted);
        if (!accepted)
        {
            NotifyLog.RelayAuthRefused(_context.Logger, Name, App.Name);
        }
    }

    public void OnEoseMissing()
    {
        _context.Metrics.RelayChange(Name, RelayChange.EoseMissing);
        NotifyLog.RelayWithoutEose(_context.Logger, Name, App.Name, _context.Options.EoseTimeout);
    }

    public void OnReady()
    {
        IsListed = false;
        if (_assert.CurrentCount == 0)
        {
            _assert.Release();
        }
    }

    // Live only: limit 0 keeps the backlog away where it is understood, the EOSE gate where it is not. Relays apply since to live events too,
    // and wraps are dated up to two days back (NIP-59).
    private Filter[] Subscribe() =>
    [
        new Filter
        {
            Kinds = _context.Options.AcceptEphemeralWraps ? [GiftWrap.Kind, GiftWrap.EphemeralKind] : [GiftWrap.Kind],
            Tags = new Dictionary<char, string[]> { ['p'] = [_key.PublicKey.ToString()] },
            Since = _context.Time.GetUtcNow().ToUnixTimeSeconds() - GiftWrap.MaxBackdateSeconds,
            Limit = 0,
        },
    ];

    // Asks the relay again and again, since a list may be deleted there at any time (by a request in our name, by retention, by a restored backup).
    private async Task KeepListedAsync(CancellationToken cancellationToken)
    {
        var pause = _context.Options.InboxListInterval;
        InboxListOutcome? last = null;
        try
        {
            while (true)
            {
                var isNew = await _assert.WaitAsync(pause, cancellationToken);
                if (isNew)
                {
                    await ReadLimitsAsync(cancellationToken);
                }
                else if (_connection.State == RelayState.Disconnected)
                {
                    continue; // the next connection asks
                }

                var outcome = await AssertListAsync(isNew, cancellationToken);
                IsListed = outcome.State is InboxListState.Published or InboxListState.Present || (outcome.State == InboxListState.NoAnswer && IsListed);
                _context.Metrics.InboxList(Name, outcome);
                if (outcome != last || outcome.State == InboxListState.Published)
                {
                    NotifyLog.InboxList(_context.Logger, Name, App.Name, outcome.Label());
                }

                // A relay that takes the list and does not keep it gets it ever more seldom.
                last = outcome;
                pause = outcome.State == InboxListState.Published && !isNew ? Min(pause * 2, Reassert) : _context.Options.InboxListInterval;
            }
        }
        catch (OperationCanceledException)
        {
            // Stopped.
        }

        static TimeSpan Min(TimeSpan a, TimeSpan b) => a < b ? a : b;
    }

    /// <summary>Reads the relay's limits after a connect, at most once an hour, and warns of each that is new.</summary>
    private async Task ReadLimitsAsync(CancellationToken cancellationToken)
    {
        var now = _context.Time.GetUptime();
        if (now - _limitsRead < LimitsLifetime)
        {
            return;
        }

        _limitsRead = now;
        if (await RelayLimits.ReadAsync(_connection.Url, _context.TrustedRoots, _context.Time, cancellationToken) is not { } limits)
        {
            return; // no document: nothing is known, and that is common
        }

        foreach (var limit in limits.Except(Limits))
        {
            NotifyLog.RelayLimit(_context.Logger, Name, App.Name, limit.Warning);
        }

        Limits = limits;
        _context.Metrics.RelayChange(Name, RelayChange.LimitsRead);
    }

    /// <summary>Publishes kind 10050 unless the newest on the relay already says the same.</summary>
    /// <param name="isNew">True on a new connection: then it is published also to a relay that gives no answer.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>What became of it.</returns>
    private async Task<InboxListOutcome> AssertListAsync(bool isNew, CancellationToken cancellationToken)
    {
        var wanted = _context.AnnouncedRelays;
        var filter = new Filter { Kinds = [AuthorListKind], Authors = [_key.PublicKey], Limit = 1 };
        var stored = await _connection.TryQueryAsync(filter, cancellationToken);
        if (stored is null && !isNew)
        {
            return new InboxListOutcome(InboxListState.NoAnswer);
        }

        var newest = (stored ?? [])
            .Where(evt => evt.Kind == AuthorListKind && evt.PublicKey == _key.PublicKey && evt.TryVerify(out _))
            .MaxBy(evt => evt.CreatedAt);
        var now = _context.Time.GetUtcNow().ToUnixTimeSeconds();
        if (newest is not null)
        {
            var listed = newest.Tags.Where(tag => tag.Length >= 2 && tag[0] == "relay").Select(tag => RelayUrl.Normalise(tag[1]))
                .ToHashSet(StringComparer.Ordinal);
            if (listed.SetEquals(wanted.Select(RelayUrl.Normalise)))
            {
                return new InboxListOutcome(InboxListState.Present);
            }
        }

        // Later than what it replaces even if that one was made by a clock ahead of ours.
        var createdAt = Math.Max(now, (newest?.CreatedAt ?? 0) + 1);
        var list = NostrEvent.Create(_key, AuthorListKind, [.. wanted.Select(url => new[] { "relay", url })], string.Empty, createdAt);
        var result = await _connection.PublishAsync(list, cancellationToken);
        return result.Accepted ? new InboxListOutcome(InboxListState.Published) : new InboxListOutcome(InboxListState.Refused, result.Prefix);
    }
}

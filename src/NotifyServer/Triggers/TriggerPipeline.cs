using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using Marmot.NotifyServer.Apps;
using Marmot.NotifyServer.Claims;
using Marmot.NotifyServer.Dispatch;
using Marmot.NotifyServer.Inbox;
using Marmot.NotifyServer.Providers;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;

namespace Marmot.NotifyServer.Triggers;

/// <summary>What the workers share.</summary>
internal sealed class TriggerPipelineContext(
    NotifyOptions options,
    KeyRing keys,
    SeenEvents seen,
    IClaimStore claims,
    DeviceGate devices,
    Canaries canaries,
    NotifyMetrics metrics,
    TimeProvider time,
    SharedDevices? sharedDevices = null)
{
    public NotifyOptions Options { get; } = options;

    public KeyRing Keys { get; } = keys;

    public SeenEvents Seen { get; } = seen;

    public IClaimStore Claims { get; } = claims;

    public DeviceGate Devices { get; } = devices;

    public Canaries Canaries { get; } = canaries;

    public NotifyMetrics Metrics { get; } = metrics;

    public TimeProvider Time { get; } = time;

    /// <summary>Who rings a device over all replicas; none, this process alone.</summary>
    public SharedDevices? SharedDevices { get; } = sharedDevices;
}

/// <summary>One worker's way of an event: gift wrap, seal, rumor, trigger, replay cache, encrypted tokens, device tokens, lanes. Not thread-safe; one for each
/// worker.</summary>
/// <remarks>Plaintext lives in this worker's own pinned buffers and in the jobs, each of which wipes itself. Nothing is answered to the sender.</remarks>
internal sealed class TriggerPipeline : IDisposable
{
    // Operations: wrap signature, wrap ECDH, seal signature, seal ECDH. A wrap that does not decrypt stops after two.
    private const int UnwrapOperations = 4;
    private const int FailedUnwrapOperations = 2;

    private readonly TriggerPipelineContext _context;
    private readonly GiftWrapOpener _opener;
    private readonly byte[] _content = GC.AllocateUninitializedArray<byte>(Trigger.MaxContentSize, pinned: true);
    private readonly byte[] _scratch = GC.AllocateUninitializedArray<byte>(TokenDialects.MaxTokenSize, pinned: true);
    private readonly HashSet<Bytes32> _distinct = [];
    private readonly List<(DevicePlatform Platform, PushJob Job, Bytes32 Device)> _jobs = [];

    private readonly List<PushJob> _apnsJobs = [];
    private readonly List<PushJob> _fcmJobs = [];

    public TriggerPipeline(TriggerPipelineContext context)
    {
        _context = context;
        _opener = new GiftWrapOpener(context.Options.MaxEventBytes);
    }

    /// <summary>Does one event.</summary>
    /// <param name="item">The event; the caller keeps it.</param>
    /// <param name="charge">Told of operations before they are done, as far as that is known.</param>
    /// <param name="cancellationToken">Ends waiting for another worker with the same content.</param>
    /// <returns>What became of it.</returns>
    public async ValueTask<EventOutcome> ProcessAsync(IntakeItem item, Action<int> charge, CancellationToken cancellationToken)
    {
        try
        {
            // 1. Wrap, seal, rumor, trigger.
            if (Open(item, charge, out var opened) is { } refused)
            {
                return refused;
            }

            // 2. Once for each content, whoever wrapped it and however often.
            switch (await _context.Claims.ClaimAsync(opened.Hash, cancellationToken))
            {
                case ClaimOutcome.Duplicate:
                    _context.Metrics.Trigger(opened.App.Name, opened.Dialect, EventOutcome.Duplicate, 0);
                    return EventOutcome.Duplicate;
                case ClaimOutcome.Full:
                    _context.Metrics.TokensLost(TokenLoss.ClaimsFull, opened.Count);
                    _context.Seen.Forget(opened.Wrap);
                    return EventOutcome.ClaimsFull;
            }

            // 3. Tokens, lanes. The claim is given back when nothing was admitted for a reason that will pass.
            var done = false;
            try
            {
                charge(opened.Count);
                Decrypt(opened, item.Arrived);
                await ClaimDevicesAsync(opened.App, cancellationToken);
                done = TryAdmit(opened);
            }
            finally
            {
                Conclude(opened, done);
            }

            var outcome = done ? EventOutcome.Done : EventOutcome.QueueFull;
            _context.Metrics.Trigger(opened.App.Name, opened.Dialect, outcome, opened.Count);
            return outcome;
        }
        finally
        {
            Wipe();
        }
    }

    public void Dispose()
    {
        Wipe();
        _opener.Dispose();
    }

    private EventOutcome? Open(IntakeItem item, Action<int> charge, out Opened opened)
    {
        opened = default;
        if (!NostrEventReader.TryRead(item.Json, out var wrap, out _))
        {
            return EventOutcome.Malformed;
        }

        if (_context.Seen.Contains(wrap.Id))
        {
            return EventOutcome.Seen;
        }

        if (!TryFindKey(wrap, out var app, out var key))
        {
            return EventOutcome.OtherRecipient;
        }

        charge(1);
        if (!EventVerifier.IsSignatureCorrect(wrap)) // the gate has checked the id it is over
        {
            return EventOutcome.BadSignature;
        }

        if (!_context.Seen.TryAdd(wrap.Id))
        {
            return EventOutcome.Seen;
        }

        var rules = GiftWrapRules.WrapIsVerified | (_context.Options.AcceptEphemeralWraps ? GiftWrapRules.AcceptEphemeral : GiftWrapRules.None);
        if (!_opener.TryOpen(wrap, key, rules, out var rumor, out _))
        {
            charge(FailedUnwrapOperations - 1);
            return EventOutcome.NotOpenable;
        }

        charge(UnwrapOperations - 1);
        if (!Trigger.TryRead(rumor, _content, out var trigger, out _))
        {
            return EventOutcome.NotATrigger;
        }

        var dialect = trigger.Dialect;
        var hash = TriggerHash(dialect, key.PublicKey, trigger.Content, rumor.CreatedAt);
        if (_context.Canaries.TryRecognise(hash))
        {
            return EventOutcome.Canary;
        }

        if (!IsAccepted(dialect))
        {
            _context.Metrics.TokensLost(TokenLoss.DialectOff, trigger.Count);
            return EventOutcome.DialectOff;
        }

        opened = new Opened(wrap.Id, app, key, dialect, trigger.Count, hash);
        return null;
    }

    private bool TryFindKey(in NostrEventView wrap, [NotNullWhen(true)] out NotifyApp? app, [NotNullWhen(true)] out SecretKey? key)
    {
        (app, key) = (null, null);
        return wrap.TryGetTag("p"u8, out var value) && Bytes32.TryParseHex(value, out var recipient) && _context.Keys.TryFind(recipient, out app, out key);
    }

    private bool IsAccepted(TokenDialect dialect) => dialect switch
    {
        TokenDialect.Mip05Short => _context.Options.AcceptMip05Short,
        TokenDialect.Mip05Long => _context.Options.AcceptMip05Long,
        _ => _context.Options.AcceptMarmotPushV1,
    };

    /// <summary>Each chunk alone: one that fails is skipped without a word, its siblings go on.</summary>
    private void Decrypt(in Opened opened, TimeSpan arrived)
    {
        var size = opened.Dialect.TokenSize;
        int repeated = 0, held = 0, skipped = 0, decrypted = 0;
        for (var i = 0; i < opened.Count; i++)
        {
            var chunk = _content.AsSpan(i * size, size);
            var ciphertext = _context.Devices.IdentifyToken(chunk);
            if (!_distinct.Add(ciphertext))
            {
                repeated++;
                continue;
            }

            if (!_context.Devices.TryTakeToken(ciphertext))
            {
                _distinct.Remove(ciphertext); // nothing to give back
                held++;
                continue;
            }

            if (!EncryptedToken.TryDecrypt(chunk, opened.Dialect, opened.Key, _scratch, out var token))
            {
                skipped++; // padding, garbage and foreign tokens look the same
                continue;
            }

            decrypted++;
            TakeDevice(opened.App, token, arrived);
            CryptographicOperations.ZeroMemory(_scratch.AsSpan(0, opened.Dialect.PlaintextSize));
        }

        _context.Metrics.Token(opened.Dialect, TokenOutcome.Repeated, repeated);
        _context.Metrics.Token(opened.Dialect, TokenOutcome.RateLimited, held);
        _context.Metrics.Token(opened.Dialect, TokenOutcome.Skipped, skipped);
        _context.Metrics.Token(opened.Dialect, TokenOutcome.Decrypted, decrypted);
        _context.Metrics.TokensLost(TokenLoss.TokenRate, held);
    }

    private void TakeDevice(NotifyApp app, in DeviceToken token, TimeSpan arrived)
    {
        var lane = app.Lane(token.Platform);
        if (lane is null)
        {
            _context.Metrics.TokensLost(TokenLoss.NoProvider, 1);
            return;
        }

        if (!lane.Provider.IsPlausible(token.Value))
        {
            _context.Metrics.TokensLost(TokenLoss.Implausible, 1);
            return;
        }

        // A device twice in one trigger is one hint, now or later.
        var device = _context.Devices.Identify(app.Name, token.Platform, token.Value);
        var wait = TimeSpan.Zero;
        if ((IsTaken(device) ? TokenLoss.Coalesced : _context.Devices.TryTake(device, out wait)) is { } refusal)
        {
            _context.Metrics.TokensLost(refusal, 1);
            return;
        }

        var job = new PushJob(token.Value, arrived, arrived + _context.Options.HintLifetime);
        job.Hold(wait);
        _jobs.Add((token.Platform, job, device));
    }

    private bool IsTaken(in Bytes32 device)
    {
        foreach (var (_, _, taken) in _jobs)
        {
            if (taken == device)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>A device that another replica has just rung waits as if this one had.</summary>
    private async ValueTask ClaimDevicesAsync(NotifyApp app, CancellationToken cancellationToken)
    {
        var window = _context.Options.CoalescingWindow;
        if (_context.SharedDevices is not { } shared || _jobs.Count == 0 || window <= TimeSpan.Zero)
        {
            return;
        }

        var ours = await shared.ClaimAsync(app, _jobs, window, cancellationToken);
        for (var i = _jobs.Count - 1; i >= 0; i--)
        {
            var (_, job, device) = _jobs[i];
            if (ours[i])
            {
                continue;
            }

            if (_context.Devices.TryTake(device, out var wait) is { } refusal)
            {
                _context.Metrics.TokensLost(refusal, 1); // another worker holds one for it already
                job.Dispose();
                _jobs.RemoveAt(i);
                continue;
            }

            job.Hold(wait);
        }
    }

    /// <summary>All jobs of the trigger onto the lanes, or none.</summary>
    private bool TryAdmit(in Opened opened)
    {
        if (_jobs.Count == 0)
        {
            return true;
        }

        _apnsJobs.Clear();
        _fcmJobs.Clear();
        foreach (var (platform, job, _) in _jobs)
        {
            (platform == DevicePlatform.Apns ? _apnsJobs : _fcmJobs).Add(job);
        }

        // One look at each lane: a reload may exchange it between two.
        var apns = opened.App.Lane(DevicePlatform.Apns);
        var fcm = opened.App.Lane(DevicePlatform.Fcm);
        if (!PushDispatcher.TryReserve(apns, _apnsJobs.Count, fcm, _fcmJobs.Count))
        {
            _context.Metrics.TokensLost(TokenLoss.QueueFull, _jobs.Count);
            return false;
        }

        apns?.Enqueue(_apnsJobs);
        fcm?.Enqueue(_fcmJobs);
        _jobs.Clear(); // the lanes own them now
        return true;
    }

    /// <summary>A trigger that was not done leaves no trace: its next copy, from whichever relay, is as the first.</summary>
    private void Conclude(in Opened opened, bool done)
    {
        if (done)
        {
            _context.Claims.Complete(opened.Hash);
            return;
        }

        foreach (var (_, _, device) in _jobs)
        {
            _context.Devices.GiveBack(device);
        }

        _context.SharedDevices?.Release(opened.App, _jobs);

        foreach (var ciphertext in _distinct)
        {
            _context.Devices.GiveBackToken(ciphertext);
        }

        _context.Seen.Forget(opened.Wrap);
        _context.Claims.Release(opened.Hash);
    }

    private void Wipe()
    {
        foreach (var (_, job, _) in _jobs)
        {
            job.Dispose();
        }

        _jobs.Clear();
        _distinct.Clear();
        _opener.Wipe();
        CryptographicOperations.ZeroMemory(_scratch);
    }

    // What a trigger is known by, however it is wrapped. The key and dialect are part of it: the same bytes to another app are another trigger.
    // MIP-05 tokens are made once and sent with every message, so there the rumor's second tells the next message from the last one
    // wrapped anew; marmot-push-v1 tells requests by their content alone.
    internal static Bytes32 TriggerHash(TokenDialect dialect, in Bytes32 key, ReadOnlySpan<byte> content, long createdAt)
    {
        Span<byte> second = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(second, dialect is TokenDialect.MarmotPushV1 ? 0 : createdAt);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData([(byte)dialect]);
        hash.AppendData(key.Span);
        hash.AppendData(second);
        hash.AppendData(content);
        Span<byte> digest = stackalloc byte[32];
        hash.GetHashAndReset(digest);
        return new Bytes32(digest);
    }

    private readonly record struct Opened(Bytes32 Wrap, NotifyApp App, SecretKey Key, TokenDialect Dialect, int Count, Bytes32 Hash);
}

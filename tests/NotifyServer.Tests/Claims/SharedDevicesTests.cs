using System.Collections.Concurrent;
using Marmot.Hosting.Cluster;
using Marmot.NotifyServer.Claims;
using Marmot.NotifyServer.Tests.Support;
using Marmot.Protocol.Encoding;

namespace Marmot.NotifyServer.Tests.Claims;

/// <summary>One push a window for a device, whichever replica does its triggers.</summary>
public class SharedDevicesTests
{
    private const string Nsec = "0202020202020202020202020202020202020202020202020202020202020202";
    private readonly FakeTimeProvider _time = Clock.Standing();

    [Fact]
    public async Task A_device_that_another_replica_has_just_rung_is_rung_again_when_the_window_has_passed()
    {
        var ledger = new InProcessLedger(_time);
        await using var a = new PipelineRig(_time, nsec: Nsec, ledger: ledger);
        await using var b = new PipelineRig(_time, nsec: Nsec, ledger: ledger);
        await a.HintAsync(Device.Apns(1), Device.Apns(2));
        _time.Advance(TimeSpan.FromSeconds(0.5));
        await b.HintAsync(Device.Apns(1), Device.Apns(3));
        await b.HintAsync(Device.Apns(1));
        Assert.Equal((2, 1), (a.Sent.Count, b.Sent.Count));
        Assert.Equal(1, b.Probe.Count("marmot_notify_pushes_held"));
        Assert.Equal(1, b.Probe.Lost("coalesced"));

        _time.Advance(TimeSpan.FromSeconds(2));
        await b.Probe.EndedAsync("accepted", 2);
        _time.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal((2, 2), (a.Sent.Count, b.Sent.Count));
    }

    [Fact]
    public async Task What_another_replica_rang_after_the_hint_is_not_rung_again()
    {
        var ledger = new InProcessLedger(_time);
        await using var a = new PipelineRig(_time, nsec: Nsec, ledger: ledger);
        await using var b = new PipelineRig(_time, nsec: Nsec, ledger: ledger);
        await a.HintAsync(Device.Apns(1));
        _time.Advance(TimeSpan.FromSeconds(0.5));
        await b.HintAsync(Device.Apns(1)); // waits until 2.5
        await a.HintAsync(Device.Apns(1)); // waits until 2.0, when the window of its own push ends
        _time.Advance(TimeSpan.FromSeconds(1.5));
        await a.Probe.EndedAsync("accepted", 2);
        _time.Advance(TimeSpan.FromSeconds(0.5));
        await b.Probe.EndedAsync("coalesced", 1);
        Assert.Equal((2, 0), (a.Sent.Count, b.Sent.Count));
        Assert.Equal(0, b.Lane.Pending);
    }

    [Fact]
    public async Task A_trigger_that_was_not_admitted_gives_its_devices_back()
    {
        var ledger = new InProcessLedger(_time);
        await using var full = new PipelineRig(_time, options => options.QueueCapacity = 0, Nsec, ledger);
        await using var other = new PipelineRig(_time, nsec: Nsec, ledger: ledger);
        Assert.Equal("queue-full", await full.HintAsync(Device.Apns(1)));
        Assert.Equal("done", await other.HintAsync(Device.Apns(1)));
        Assert.Equal(1, other.Sent.Count);
    }

    [Fact]
    public async Task While_the_ledger_is_away_each_replica_rings_alone_and_says_so()
    {
        var ledger = new ScriptedLedger { IsAway = true };
        await using var a = new PipelineRig(_time, nsec: Nsec, ledger: ledger);
        var hint = a.HintAsync(Device.Apns(1), Device.Apns(2));
        while (!hint.IsCompleted)
        {
            _time.Advance(TimeSpan.FromSeconds(0.05)); // the claim on the content tries again for two seconds
            await Task.Delay(1);
        }

        Assert.Equal("done", await hint);
        Assert.Equal(2, a.Sent.Count);
        Assert.Equal(2, a.Probe.Count("marmot_notify_device_claims_alone"));
        Assert.Contains("alone", new ClaimsHealth(a.Claims!).Check().Detail, StringComparison.Ordinal);

        ledger.IsAway = false;
        await a.HintAsync(Device.Apns(3));
        Assert.Equal("ok", new ClaimsHealth(a.Claims!).Check().Detail);
        Assert.Equal(2, a.Probe.Count("marmot_notify_device_claims_alone"));
    }

    [Theory]
    [InlineData(typeof(IOException))]
    [InlineData(typeof(InvalidDataException))]
    [InlineData(typeof(InvalidCastException))]
    public async Task A_ledger_that_is_away_or_answers_nonsense_shows_within_seconds_without_any_push_and_so_does_its_return(Type fault)
    {
        var ledger = new ScriptedLedger { IsAway = true, Fault = fault };
        await using var a = new PipelineRig(_time, nsec: Nsec, ledger: ledger);
        using var probe = new LedgerProbe(a.Claims!, _time);
        var health = new ClaimsHealth(a.Claims!);
        await probe.StartAsync(CancellationToken.None);
        await UntilAsync(() => health.Check().Detail.Contains("alone", StringComparison.Ordinal));

        ledger.IsAway = false;
        await UntilAsync(() => health.Check().Detail == "ok");
        ledger.IsAway = true;
        await UntilAsync(() => health.Check().Detail.Contains("alone", StringComparison.Ordinal));
        Assert.True(health.Check().Ready); // never a reason to stop
        await probe.StopAsync(CancellationToken.None);

        // Nor does a push get lost by it.
        var hint = a.HintAsync(Device.Apns(1));
        while (!hint.IsCompleted)
        {
            _time.Advance(TimeSpan.FromSeconds(0.05));
            await Task.Delay(1);
        }

        Assert.Equal("done", await hint);
        Assert.Equal(1, a.Sent.Count);

        async Task UntilAsync(Func<bool> condition)
        {
            for (var i = 0; i < 500 && !condition(); i++)
            {
                _time.Advance(LedgerProbe.Interval / 4);
                await Task.Delay(1);
            }

            Assert.True(condition());
        }
    }

    [Fact]
    public async Task A_cluster_that_answers_nonsense_does_not_end_the_sharing_of_provider_tokens()
    {
        using var jwts = new Marmot.NotifyServer.Providers.ApnsJwts(_time);
        jwts.Get(System.Security.Cryptography.ECDsa.Create(System.Security.Cryptography.ECCurve.NamedCurves.nistP256), "MARMOTTEAM", "MARMOTKEY1");
        await new SharedProviderTokens(new NonsenseValues(), _time).AgreeAsync(jwts, CancellationToken.None);
        Assert.NotEmpty(jwts.All[0].Current());
    }

    private sealed class NonsenseValues : ISharedValues
    {
        public ValueTask<byte[]> OfferAsync(Bytes32 name, byte[] value, TimeSpan lifetime, CancellationToken cancel) =>
            throw new InvalidCastException("an integer where bytes should be");
    }

    [Fact]
    public async Task All_devices_of_a_trigger_are_asked_for_together_under_names_that_need_the_apps_key()
    {
        var ledger = new ScriptedLedger { HoldsBackAfter = 1 }; // the content's claim is answered
        await using var a = new PipelineRig(_time, nsec: Nsec, ledger: ledger);
        var hint = a.HintAsync([.. Enumerable.Range(1, 32).Select(i => Device.Apns((byte)i))]);
        Assert.False(hint.IsCompleted);
        Assert.Equal(33, ledger.Names.Count);
        ledger.AnswerAll();
        Assert.Equal("done", await hint);
        Assert.Equal(32, a.Sent.Count);

        var other = new ScriptedLedger();
        await using var stranger = new PipelineRig(_time, ledger: other);
        await stranger.HintAsync(Device.Apns(1));
        Assert.Empty(ledger.Names.Intersect(other.Names));
    }

    /// <summary>Says yes, or nothing yet, or cannot be asked.</summary>
    private sealed class ScriptedLedger : IClaimLedger
    {
        private readonly TaskCompletionSource<ClaimAnswer> _later = new();

        public ConcurrentQueue<Bytes32> Names { get; } = new();

        public bool IsAway { get; set; }

        public Type Fault { get; init; } = typeof(IOException);

        public int HoldsBackAfter { get; init; } = int.MaxValue;

        public bool IsConnected => !IsAway;

        public void AnswerAll() => _later.SetResult(ClaimAnswer.Owned);

        public ValueTask<ClaimAnswer> ClaimAsync(Bytes32 hash, Bytes32 owner, TimeSpan lease, CancellationToken cancel)
        {
            Names.Enqueue(hash);
            return IsAway ? throw (Exception)Activator.CreateInstance(Fault)!
                : Names.Count > HoldsBackAfter ? new ValueTask<ClaimAnswer>(_later.Task)
                : new ValueTask<ClaimAnswer>(ClaimAnswer.Owned);
        }

        public ValueTask CompleteAsync(Bytes32 hash, Bytes32 owner, TimeSpan window, CancellationToken cancel) => default;

        public ValueTask ReleaseAsync(Bytes32 hash, Bytes32 owner, CancellationToken cancel) => default;

        public ValueTask DisposeAsync() => default;
    }
}

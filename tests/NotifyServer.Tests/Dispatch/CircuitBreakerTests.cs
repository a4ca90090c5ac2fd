using Marmot.NotifyServer.Dispatch;
using Marmot.NotifyServer.Providers;
using Marmot.NotifyServer.Tests.Support;

namespace Marmot.NotifyServer.Tests.Dispatch;

public class CircuitBreakerTests
{
    [Fact]
    public void A_refused_credential_opens_it_and_one_probe_closes_it()
    {
        var clock = Clock.Standing();
        var circuit = new CircuitBreaker(clock);
        circuit.CredentialFailure(PushReason.InvalidProviderToken, null);
        Assert.False(circuit.TryPass(out var wait));
        Assert.Equal(TimeSpan.FromSeconds(30), wait);

        clock.Advance(wait);
        Assert.True(circuit.TryPass(out _));
        Assert.False(circuit.TryPass(out _)); // one probe at a time
        circuit.Succeeded();
        Assert.True(circuit.TryPass(out _));
        Assert.Equal(CircuitState.Closed, circuit.State);
    }

    [Fact]
    public void A_failed_probe_keeps_it_open()
    {
        var clock = Clock.Standing();
        var circuit = new CircuitBreaker(clock);
        for (var i = 0; i < CircuitBreaker.TransientFailures; i++)
        {
            Assert.True(circuit.TryPass(out _));
            circuit.TransientFailure(PushReason.Timeout);
        }

        Assert.False(circuit.TryPass(out var wait));
        clock.Advance(wait);
        Assert.True(circuit.TryPass(out _));
        circuit.TransientFailure(PushReason.Timeout);
        Assert.False(circuit.TryPass(out _));
    }

    [Fact]
    public void An_answer_in_between_starts_the_count_anew()
    {
        var circuit = new CircuitBreaker(Clock.Standing());
        for (var i = 0; i < CircuitBreaker.TransientFailures * 3; i++)
        {
            circuit.TransientFailure(PushReason.Timeout);
            circuit.Succeeded();
        }

        Assert.Equal(CircuitState.Closed, circuit.State);
    }

    [Fact]
    public void A_providers_floor_is_never_jittered_away()
    {
        var verdict = new PushVerdict(PushOutcome.TokenBusy, PushReason.FcmQuotaExceeded, TimeSpan.FromMinutes(1));
        Assert.True(RetryPause.For(verdict, 1, 0) >= TimeSpan.FromMinutes(1));
        Assert.Equal(TimeSpan.Zero, RetryPause.For(new PushVerdict(PushOutcome.Reconnect, PushReason.Shutdown), 1, 0.5));
        Assert.True(RetryPause.For(PushVerdict.TimedOut, 50, 1) <= TimeSpan.FromSeconds(45));
    }
}

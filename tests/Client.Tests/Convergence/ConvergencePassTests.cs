using Marmot.Client.Convergence;
using Marmot.Client.Tests.Support;
using Marmot.Protocol.Encoding;

namespace Marmot.Client.Tests.Convergence;

public sealed class ConvergencePassTests
{
    private readonly ManualClock _clock = new(DateTimeOffset.FromUnixTimeSeconds(1_790_000_000));

    [Fact]
    public void A_commit_opens_a_pass_that_freezes_a_second_after_the_last_input_that_matters()
    {
        var pass = New();
        pass.Take(Digest(1), opens: false, matters: false);
        Assert.Equal(PassPhase.Idle, pass.Phase);
        pass.Take(Digest(2), opens: true, matters: true);
        Advance(900);
        pass.Take(Digest(3), opens: true, matters: true);
        Advance(900);
        pass.Take(Digest(4), opens: false, matters: false); // does not matter: the quiet goes on
        Assert.False(pass.TryFreeze());
        Assert.Equal(TimeSpan.FromMilliseconds(100), pass.Remaining);
        Advance(100);
        Assert.True(pass.TryFreeze());
        Assert.Equal([Digest(1), Digest(2), Digest(3), Digest(4)], pass.Digests);
    }

    [Fact]
    public void A_pass_freezes_five_seconds_after_it_was_opened_whatever_comes()
    {
        var pass = New();
        for (byte i = 0; i < 10; i++)
        {
            Assert.False(pass.TryFreeze());
            pass.Take(Digest(i), opens: true, matters: true);
            Advance(500);
        }

        Assert.True(pass.TryFreeze());
    }

    [Fact]
    public void What_comes_after_the_freeze_waits_for_the_next_pass_and_opens_it()
    {
        var pass = Frozen(Digest(1));
        pass.Take(Digest(2), opens: true, matters: true);
        pass.Take(Digest(1), opens: true, matters: true); // known
        Assert.Equal([Digest(1)], pass.Digests);
        pass.Close();
        Assert.Equal((PassPhase.Collecting, TimeSpan.FromSeconds(1)), (pass.Phase, pass.Remaining));
        Assert.Equal([Digest(2)], pass.Digests);
    }

    [Fact]
    public void A_message_after_the_freeze_alone_opens_no_pass()
    {
        var pass = Frozen(Digest(1));
        pass.Take(Digest(2), opens: false, matters: false);
        pass.Close();
        Assert.Equal(PassPhase.Idle, pass.Phase);
    }

    [Fact]
    public void While_an_own_commit_waits_for_its_OK_nothing_opens_and_afterwards_the_pass_does()
    {
        var pass = New();
        pass.Hold();
        pass.Take(Digest(1), opens: true, matters: true);
        Advance(10_000);
        Assert.Equal(PassPhase.Idle, pass.Phase);
        pass.Release();
        Assert.Equal((PassPhase.Collecting, TimeSpan.FromSeconds(1)), (pass.Phase, pass.Remaining));
    }

    [Fact]
    [Trait("Clock", "Date")]
    public void A_restart_resumes_a_frozen_pass_as_it_was_and_a_collecting_one_by_the_clock()
    {
        var frozen = Frozen(Digest(1)).Save();
        Advance(60_000);
        Assert.True(ConvergencePass.Resume(ConvergencePolicy.Adopted, _clock, frozen!).TryFreeze());

        var pass = New();
        pass.Take(Digest(1), opens: true, matters: true);
        Advance(300);
        var record = pass.Save()!;
        Advance(400);
        var resumed = ConvergencePass.Resume(ConvergencePolicy.Adopted, _clock, record);
        Assert.Equal(TimeSpan.FromMilliseconds(300), resumed.Remaining);
        Advance(300);
        Assert.True(resumed.TryFreeze());
        Assert.Equal([Digest(1)], resumed.Digests);
        Assert.Null(New().Save());
    }

    [Fact]
    public void A_clock_that_is_set_changes_nothing_while_the_process_runs_and_freezes_the_pass_at_once_when_it_was_set_back_before_a_restart()
    {
        var pass = New();
        pass.Take(Digest(1), opens: true, matters: true);
        _clock.Set(TimeSpan.FromHours(-3));
        Assert.False(pass.TryFreeze());
        Assert.Equal(TimeSpan.FromSeconds(1), pass.Remaining);
        _clock.Set(TimeSpan.FromHours(6));
        Assert.False(pass.TryFreeze());

        var record = pass.Save()!;
        _clock.Set(TimeSpan.FromHours(-1));
        Assert.True(ConvergencePass.Resume(ConvergencePolicy.Adopted, _clock, record).TryFreeze());
    }

    private ConvergencePass New() => new(ConvergencePolicy.Adopted, _clock);

    private ConvergencePass Frozen(Bytes32 digest)
    {
        var pass = New();
        pass.Take(digest, opens: true, matters: true);
        Advance(1000);
        Assert.True(pass.TryFreeze());
        return pass;
    }

    private void Advance(int milliseconds) => _clock.Advance(TimeSpan.FromMilliseconds(milliseconds));

    private static Bytes32 Digest(byte number) => new([number, .. new byte[31]]);
}

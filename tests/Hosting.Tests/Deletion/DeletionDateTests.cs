using Marmot.Hosting.Deletion;
using Marmot.TestKit;
using Microsoft.Extensions.Logging;

namespace Marmot.Hosting.Tests.Deletion;

public sealed class DeletionDateTests : IDisposable
{
    private static readonly TimeSpan Year = TimeSpan.FromDays(365);
    private static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);

    private readonly TemporaryFolder _folder = new();
    private readonly CountingLog _log = new();
    private readonly DateTimeOffset _start = Clock.Standing().GetUtcNow();
    private WallClock _clock = New(Clock.Standing().GetUtcNow());

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_date_that_goes_on_is_followed()
    {
        var date = Open();
        for (var i = 0; i < 100; i++)
        {
            Assert.Equal(_clock.GetUtcNow(), await date.GetAsync(default));
            _clock.Wait(TimeSpan.FromHours(i));
        }

        Assert.Equal("ok", date.Check().Detail);
        Assert.Equal(0, _log.Warnings);
    }

    [Fact]
    public async Task A_jump_ahead_is_not_followed_until_it_has_stood_and_is_told_once()
    {
        var date = Open();
        await date.GetAsync(default);
        _clock.Advance(Year);
        for (var passed = TimeSpan.Zero; passed < DeletionDate.Hold; passed += Minute)
        {
            Assert.Equal(_start + passed, await date.GetAsync(default));
            Assert.Equal((true, "held back: the system date is ahead by 365.00 days"), (date.Check().Ready, date.Check().Detail));
            _clock.Wait(Minute);
        }

        Assert.Equal(1, _log.Warnings);
        Assert.Equal(_clock.GetUtcNow(), await date.GetAsync(default));
        Assert.Equal("ok", date.Check().Detail);
        _clock.Wait(Minute);
        Assert.Equal(_clock.GetUtcNow(), await date.GetAsync(default));
    }

    [Fact]
    public async Task A_jump_that_is_put_right_leaves_nothing_behind()
    {
        var date = Open();
        await date.GetAsync(default);
        for (var i = 0; i < 5; i++)
        {
            _clock.Advance(Year);
            Assert.True(await date.GetAsync(default) < _start + TimeSpan.FromDays(1));
            _clock.Wait(DeletionDate.Hold / 2);
            Assert.True(await date.GetAsync(default) < _start + TimeSpan.FromDays(1));
            _clock.Advance(-Year);
            Assert.Equal(_clock.GetUtcNow(), await date.GetAsync(default));
            Assert.Equal("ok", date.Check().Detail);
        }
    }

    [Fact]
    public async Task A_date_that_moves_on_while_it_is_held_back_has_to_stand_anew()
    {
        var date = Open();
        await date.GetAsync(default);
        for (var i = 0; i < 5; i++)
        {
            _clock.Advance(Year);
            await date.GetAsync(default);
            _clock.Wait(DeletionDate.Hold - Minute);
            Assert.True(await date.GetAsync(default) < _start + TimeSpan.FromDays(1));
        }

        Assert.Equal(1, _log.Warnings);
    }

    [Fact]
    public async Task A_step_back_and_a_small_step_ahead_are_followed_at_once()
    {
        var date = Open();
        await date.GetAsync(default);
        foreach (var step in new[] { -Year, TimeSpan.FromMinutes(9), -TimeSpan.FromHours(1), TimeSpan.FromMinutes(9) })
        {
            _clock.Advance(step);
            Assert.Equal(_clock.GetUtcNow(), await date.GetAsync(default));
        }

        _clock.Advance(Year); // right again after it was a year back: late, not wrong
        Assert.True(await date.GetAsync(default) < _clock.GetUtcNow());
        _clock.Wait(DeletionDate.Hold);
        Assert.Equal(_clock.GetUtcNow(), await date.GetAsync(default));
    }

    [Fact]
    public async Task A_start_far_ahead_of_the_last_run_holds_back_for_an_hour_of_its_own_however_often_it_starts()
    {
        await Open().GetAsync(default);
        for (var i = 0; i < 3; i++)
        {
            _clock = New(_start + Year); // another process, another count of timestamps
            var date = Open();
            Assert.Equal(_start, await date.GetAsync(default));
            _clock.Wait(Minute);
            Assert.Equal(_start + Minute, await date.GetAsync(default));
        }

        var last = Open();
        await last.GetAsync(default);
        _clock.Wait(DeletionDate.Hold);
        Assert.Equal(_clock.GetUtcNow(), await last.GetAsync(default));
    }

    [Fact]
    public async Task A_start_soon_after_the_last_run_or_on_an_empty_folder_follows_at_once()
    {
        var first = Open();
        await first.GetAsync(default);
        for (var i = 0; i < 60; i++)
        {
            _clock.Wait(Minute);
            await first.GetAsync(default);
        }

        _clock = New(_clock.GetUtcNow() + TimeSpan.FromMinutes(4)); // kept at most five minutes before
        Assert.Equal(_clock.GetUtcNow(), await Open().GetAsync(default));
        Assert.Equal(0, _log.Warnings);
    }

    [Theory]
    [InlineData("")]
    [InlineData("yesterday")]
    [InlineData("-5")]
    [InlineData("99999999999999999999")]
    public async Task A_file_that_holds_no_date_counts_as_none(string text)
    {
        File.WriteAllText(_folder.File(DeletionDateFile.Name), text);
        Assert.Equal(_start, await Open().GetAsync(default));
        Assert.Equal(_start, await new DeletionDateFile(_folder.Path).ReadAsync(default));
    }

    [Fact]
    public async Task Where_nothing_is_known_because_the_past_cannot_be_asked_nothing_is_deleted()
    {
        var date = new DeletionDate(new DatabaseDate("Host=127.0.0.1;Port=1;Username=nobody"), _clock, _log);
        await Assert.ThrowsAsync<IOException>(async () => await date.GetAsync(default));
    }

    private static WallClock New(DateTimeOffset date) => new(date, Clock.Standing());

    private DeletionDate Open() => new(new DeletionDateFile(_folder.Path), _clock, _log);

    private sealed class CountingLog : ILogger<DeletionDate>
    {
        public int Warnings { get; private set; }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Warnings += logLevel == LogLevel.Warning ? 1 : 0;
    }
}

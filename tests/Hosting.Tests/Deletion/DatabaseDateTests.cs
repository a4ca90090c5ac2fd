using Marmot.Hosting.Deletion;
using Marmot.Hosting.Tests.Cluster;
using Marmot.TestKit;
using Microsoft.Extensions.Logging.Abstractions;

namespace Marmot.Hosting.Tests.Deletion;

[Collection(PostgresTests.Name)]
public sealed class DatabaseDateTests(PostgresFixture postgres)
{
    [Fact]
    public async Task A_start_a_year_ahead_of_the_database_holds_back_and_one_behind_it_does_not()
    {
        var past = new DatabaseDate(await postgres.Server.CreateDatabaseAsync());
        var database = DateTimeOffset.UtcNow; // its server runs on this machine
        foreach (var days in new[] { 365, -365 })
        {
            var clock = new WallClock(database.AddDays(days), Clock.Standing());
            var date = new DeletionDate(past, clock, NullLogger<DeletionDate>.Instance);
            Assert.InRange(await date.GetAsync(default), DateTimeOffset.MinValue, database.AddDays(1));
            clock.Wait(DeletionDate.Hold);
            Assert.Equal(clock.GetUtcNow(), await date.GetAsync(default));
        }
    }
}

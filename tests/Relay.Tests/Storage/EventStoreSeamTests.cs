using Marmot.Relay.Storage;
using Marmot.Relay.Storage.Postgres.Schema;

namespace Marmot.Relay.Tests.Storage;

/// <summary>What holds for the seam of the stores itself.</summary>
public sealed class EventStoreSeamTests
{
    [Fact]
    public void No_member_has_a_body_that_a_wrapping_store_could_forget_to_hand_on() =>
        Assert.All(typeof(IEventStore).GetMethods(), method => Assert.True(method.IsAbstract, $"{method.Name} has a body of its own"));

    [Fact]
    public void The_database_refuses_the_same_kinds_as_the_program()
    {
        var text = RelaySchema.ReadText("0003-history.sql");
        var list = $"({string.Join(", ", KindRules.OnlyEncrypted)})";
        Assert.Equal(2, text.Split($"kind IN {list}").Length + text.Split($"kind NOT IN {list}").Length - 2);
        for (var kind = 0; kind <= ushort.MaxValue; kind++)
        {
            Assert.Equal(KindRules.OnlyEncrypted.Contains(kind), KindRules.IsOnlyEncrypted(kind));
        }
    }
}

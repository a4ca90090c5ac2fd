using System.Net;
using Marmot.Hosting.Callers;
using Marmot.Relay.Budgets;

namespace Marmot.Relay.Tests.Connections;

public sealed class SharedLimitTests
{
    private static AddressPrefix Address(int number) => AddressPrefix.Of(new IPAddress([10, 0, (byte)(number >> 8), (byte)number]));

    [Fact]
    public void One_address_leaves_most_places_to_others_and_many_leave_some()
    {
        var shares = new AddressShares(new RelayOptions { MaxConnections = 20_000 });
        Assert.Equal(4000, Fill(shares, Address(0)));
        var taken = 4000;
        for (var i = 1; i < 10; i++)
        {
            taken += Fill(shares, Address(i));
        }

        Assert.InRange(taken, 17_000, 18_500);
        Assert.NotNull(shares.TryOpen(Address(1000))); // who comes next still finds a place
    }

    [Fact]
    public void A_small_relay_still_takes_a_household()
    {
        var shares = new AddressShares(new RelayOptions { MaxConnections = 20 });
        Assert.Equal(8, Fill(shares, Address(0)));
        Assert.Equal(8, Fill(shares, Address(1)));
        Assert.Equal(4, Fill(shares, Address(2)));
        Assert.Equal(0, Fill(shares, Address(3)));
    }

    [Fact]
    public void Members_leave_room_for_others_of_their_address_and_never_take_everything()
    {
        var shares = new AddressShares(new RelayOptions { MaxConnections = 1000 });
        var place = shares.TryOpen(Address(0))!;
        var members = 0;
        while (shares.TryAdmitMember(place) && shares.TryOpen(Address(0)) is not null)
        {
            members++;
        }

        Assert.InRange(members, 450, 501);
        Assert.NotNull(shares.TryOpen(Address(1)));
    }

    [Fact]
    public void What_is_given_back_can_be_taken_again_and_addresses_without_connections_are_forgotten()
    {
        var shares = new AddressShares(new RelayOptions { MaxConnections = 100 });
        for (var round = 0; round < 3; round++)
        {
            var places = new List<AddressShare>();
            while (shares.TryOpen(Address(7)) is { } place)
            {
                places.Add(place);
            }

            Assert.Equal(20, places.Count);
            Assert.Single(places.Distinct());
            Assert.True(shares.TryAdmitMember(places[0]));
            for (var i = 0; i < places.Count; i++)
            {
                shares.Close(places[i], isMember: i == 0);
            }

            Assert.Equal((0, 0L, 0L), (places[0].Users, places[0].Connections, places[0].Members));
        }
    }

    [Fact]
    public void Addresses_that_are_not_counted_share_only_the_whole()
    {
        var shares = new AddressShares(new RelayOptions { MaxConnections = 100 });
        Assert.Equal(100, Fill(shares, null));
    }

    private static int Fill(AddressShares shares, AddressPrefix? address)
    {
        var taken = 0;
        while (shares.TryOpen(address) is not null)
        {
            taken++;
        }

        return taken;
    }
}

using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;

namespace Marmot.Relay.Storage.Postgres.Schema;

/// <summary>The operator's decisions (NIP-86), which were a file of each replica before.</summary>
[DbContext(typeof(RelaySchema))]
[Migration("20261121120000_Moderation")]
internal sealed class ModerationMigration : Migration
{
    protected override void Up(MigrationBuilder migrationBuilder) => migrationBuilder.Sql(RelaySchema.ReadText("0002-moderation.sql"));

    // As for the events: an older program does not look at the table.
    protected override void Down(MigrationBuilder migrationBuilder)
    {
    }
}
